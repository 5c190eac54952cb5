// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mooncake.Mesh.Transfer;

/// <summary>
/// Copies past the caches with AVX-512. The sum runs over the stripes of the source while the stores run over the
/// lines of the destination: where the two are not aligned alike, a line is loaded twice, from the nearest cache.
/// </summary>
internal static unsafe class StreamingCopy512
{
    /// <summary>Shortest copy, in bytes.</summary>
    public const long Least = 4 * XxHash3Form.Block;

    private const int Line = 64;

    /// <summary>Copies at least <see cref="Least"/> bytes.</summary>
    public static void Copy(byte* from, byte* to, long length)
    {
        long at = -(nint)to & (Line - 1);
        Buffer.MemoryCopy(from, to, at, at);
        for (; at <= length - (2 * Line); at += 2 * Line)
        {
            Sse.Prefetch0(from + at + NativeCopy.Ahead);
            Sse.Prefetch0(from + at + NativeCopy.Ahead + Line);
            var first = Avx512F.LoadVector512(from + at);
            var second = Avx512F.LoadVector512(from + at + Line);
            Avx512F.StoreAlignedNonTemporal(to + at, first);
            Avx512F.StoreAlignedNonTemporal(to + at + Line, second);
        }

        // Such stores are not ordered with others: whoever is told of the copy must see all of it.
        Sse.StoreFence();
        Buffer.MemoryCopy(from + at, to + at, length - at, length - at);
    }

    /// <summary>Copies at least <see cref="Least"/> bytes; their XxHash3-64.</summary>
    public static ulong CopyAndSum(byte* from, byte* to, long length)
    {
        long head = -(nint)to & (Line - 1);
        Buffer.MemoryCopy(from, to, head, head);
        byte* secret = XxHash3Form.Secret;
        byte* source = from + head;
        byte* target = to + head;
        var scramble = Avx512F.LoadVector512((ulong*)(secret + XxHash3Form.ScrambleKey));
        var sum = Vector512.Create(XxHash3Form.Start);
        long at = 0;

        // The last block is left to the second loop: a store ends up to a line after the stripe it goes with.
        long blocks = ((length - 1) / XxHash3Form.Block) - 1;
        for (long block = 0; block < blocks; block++)
        {
            for (int stripe = 0; stripe < XxHash3Form.Block / Line; stripe++, at += Line)
            {
                Sse.Prefetch0(from + at + NativeCopy.Ahead);
                sum = Add(sum, Avx512F.LoadVector512((ulong*)(from + at)),
                    Avx512F.LoadVector512((ulong*)(secret + (8 * stripe))));
                Avx512F.StoreAlignedNonTemporal(target + at, Avx512F.LoadVector512(source + at));
            }

            sum = Scramble(sum, scramble);
        }

        Sse.StoreFence();
        Buffer.MemoryCopy(source + at, target + at, length - head - at, length - head - at);
        return End(sum, scramble, from + at, length - at, length);
    }

    /// <summary>Sums what is left: one whole block, and a last one of at least one byte.</summary>
    private static ulong End(Vector512<ulong> sum, Vector512<ulong> scramble, byte* from, long left, long length)
    {
        byte* secret = XxHash3Form.Secret;
        int stripes = (int)((left - 1) / Line);
        for (int stripe = 0; stripe < stripes; stripe++)
        {
            int place = stripe % (XxHash3Form.Block / Line);
            sum = Add(sum, Avx512F.LoadVector512((ulong*)(from + (stripe * Line))),
                Avx512F.LoadVector512((ulong*)(secret + (8 * place))));
            if (place == (XxHash3Form.Block / Line) - 1)
                sum = Scramble(sum, scramble);
        }

        sum = Add(sum, Avx512F.LoadVector512((ulong*)(from + left - Line)),
            Avx512F.LoadVector512((ulong*)(secret + XxHash3Form.LastKey)));
        ulong* words = stackalloc ulong[8];
        Avx512F.Store(words, sum);
        return XxHash3Form.Merge(words, length);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Add(Vector512<ulong> sum, Vector512<ulong> data, Vector512<ulong> key)
    {
        var mixed = Avx512F.Xor(data, key).AsUInt32();
        var product = Avx512F.Multiply(mixed, Avx512F.Shuffle(mixed, 0b00_11_00_01));
        var swapped = Avx512F.Shuffle(data.AsUInt32(), 0b01_00_11_10).AsUInt64();
        return Avx512F.Add(Avx512F.Add(sum, swapped), product);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Scramble(Vector512<ulong> sum, Vector512<ulong> key)
    {
        var prime = Vector512.Create(XxHash3Form.Prime1);
        sum = Avx512F.Xor(Avx512F.Xor(sum, Avx512F.ShiftRightLogical(sum, 47)), key);
        var low = Avx512F.Multiply(sum.AsUInt32(), prime);
        var high = Avx512F.Multiply(Avx512F.ShiftRightLogical(sum, 32).AsUInt32(), prime);
        return Avx512F.Add(low, Avx512F.ShiftLeftLogical(high, 32));
    }
}
