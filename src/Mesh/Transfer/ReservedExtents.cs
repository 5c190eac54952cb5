// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer;

/// <summary>The bytes of a reservation as one value, in however many extents they are.</summary>
internal static class ReservedExtents
{
    /// <summary>What is done with one extent; anything but Done is the end.</summary>
    /// <param name="extent">Its memory, of the host or of a device.</param>
    /// <param name="from">Where in the value it begins, in bytes.</param>
    /// <param name="sums">To be filled with its sums; null: none are wanted.</param>
    public delegate TransferOutcome ExtentAction(NativeRange extent, long from, SliceSums? sums);

    /// <summary>Does the same with each extent, in order, and puts their sums together.</summary>
    public static TransferOutcome Each(Reservation reservation, SliceSums? sums, ExtentAction act)
    {
        if (!reservation.IsScattered)
            return act(RangeOf(reservation, 0), 0, sums);
        long from = 0;
        for (int i = 0; i < reservation.Extents.Count; i++)
        {
            var extent = RangeOf(reservation, i);
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

    /// <summary>Does the same with each extent, one after the other, by moves that wait for devices.</summary>
    /// <param name="reservation">Whose extents.</param>
    /// <param name="sums">Gets their sums.</param>
    /// <param name="queues">The threads that wait.</param>
    /// <param name="moveOf">What is to be done with an extent; see <see cref="ExtentAction"/>.</param>
    /// <param name="limit">What is left for it.</param>
    /// <param name="cancel">Ends it.</param>
    public static async Task<TransferOutcome> EachAsync(Reservation reservation, SliceSums? sums, DeviceQueues queues,
        Func<NativeRange, long, SliceSums?, DeviceMove> moveOf, Func<TimeSpan> limit, CancellationToken cancel)
    {
        long from = 0;
        for (int i = 0; i < reservation.Extents.Count; i++)
        {
            var extent = RangeOf(reservation, i);
            var part = reservation.IsScattered ? sums?.PartOf(from, extent.Length) : sums;
            var move = moveOf(extent, from, part);
            var outcome = move.From.Device is null && move.To.Device is null
                ? DeviceMoves.RunHost(move)
                : await queues.RunAsync(move, limit(), cancel);
            if (outcome != TransferOutcome.Done)
                return outcome;
            if (part is not null && part != sums)
                sums!.Take(part);
            from += extent.Length;
        }

        return TransferOutcome.Done;
    }

    /// <summary>Whether a device has some of the bytes.</summary>
    public static bool AnyOnDevice(Reservation reservation)
    {
        for (int i = 0; i < reservation.Extents.Count; i++)
        {
            if (reservation.BytesOf(i).IsOnDevice)
                return true;
        }

        return false;
    }

    private static NativeRange RangeOf(Reservation reservation, int extent) =>
        DeviceMoves.RangeOf(reservation.BytesOf(extent));
}
