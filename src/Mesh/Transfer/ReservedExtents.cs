// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer;

/// <summary>The bytes of a reservation as one value, in however many extents they are.</summary>
internal static class ReservedExtents
{
    /// <summary>What is done with one extent; anything but Done is the end.</summary>
    /// <param name="extent">Its memory.</param>
    /// <param name="from">Where in the value it begins, in bytes.</param>
    /// <param name="sums">To be filled with its sums; null: none are wanted.</param>
    public delegate TransferOutcome ExtentAction(NativeRange extent, long from, SliceSums? sums);

    /// <summary>Does the same with each extent, in order, and puts their sums together.</summary>
    public static unsafe TransferOutcome Each(Reservation reservation, SliceSums? sums, ExtentAction act)
    {
        if (!reservation.IsScattered)
            return act(new NativeRange((nint)reservation.PointerTo(0), reservation.Size), 0, sums);
        long from = 0;
        for (int i = 0; i < reservation.Extents.Count; i++)
        {
            var extent = new NativeRange((nint)reservation.PointerTo(i), reservation.Extents[i].Length);
            var part = sums?.PartOf(from, extent.Length);
            var outcome = act(extent, from, part);
            if (outcome != TransferOutcome.Done)
                return outcome;
            if (part is not null)
                sums!.Take(part);
            from += extent.Length;
        }

        return TransferOutcome.Done;
    }
}
