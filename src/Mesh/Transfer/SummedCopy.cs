// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer;

/// <summary>A whole transfer within this host: slice by slice, each summed while it is copied.</summary>
internal static unsafe class SummedCopy
{
    private const long Piece = 1 << 20;

    /// <summary>Copies, and fills <paramref name="sums"/> where they are wanted.</summary>
    public static void Run(byte* from, byte* to, long length, SliceSums? sums)
    {
        for (long at = 0, step = 0; at < length || at == 0; at += step)
        {
            step = Step(from, to, length, at, length, sums);
            if (step == 0)
                return;
        }
    }

    /// <summary>
    /// Copies what is at <paramref name="at"/>: one slice, or, where no sums are wanted, 1 MiB or up to
    /// <paramref name="end"/>.
    /// </summary>
    /// <returns>Bytes copied.</returns>
    public static long Step(byte* from, byte* to, long length, long at, long end, SliceSums? sums)
    {
        bool stream = length >= NativeCopy.Streaming;
        if (sums is null)
        {
            long piece = Math.Min(Piece, end - at);
            NativeCopy.Copy(from + at, to + at, piece, stream);
            return piece;
        }

        int slice = (int)(at / sums.SliceBytes);
        long bytes = sums.LengthOf(slice);
        sums.Values[slice] = NativeCopy.CopyAndSum(from + at, to + at, bytes, stream);
        return bytes;
    }
}
