// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Flow;

/// <summary>The bytes of a reservation as one value, in however many extents they are.</summary>
internal static unsafe class ReservedBytes
{
    /// <summary>Copies a whole value in, and sums it on the way if that is wanted.</summary>
    public static void Fill(Reservation reservation, byte* source, SliceSums? sums)
    {
        long at = 0;
        for (int i = 0; i < reservation.Extents.Count; i++)
        {
            long length = reservation.Extents[i].Length;
            var part = reservation.IsScattered ? sums?.PartOf(at, length) : sums;
            SummedCopy.Run(source + at, reservation.PointerTo(i), length, part);
            if (part is not null && part != sums)
                sums!.Take(part);
            at += length;
        }
    }

    /// <summary>The sums of what is there.</summary>
    public static SliceSums Sum(Reservation reservation)
    {
        var sums = new SliceSums(reservation.Size);
        long at = 0;
        for (int i = 0; i < reservation.Extents.Count; i++)
        {
            var part = sums.PartOf(at, reservation.Extents[i].Length);
            part.Take(reservation.PointerTo(i));
            sums.Take(part);
            at += part.Length;
        }

        return sums;
    }
}
