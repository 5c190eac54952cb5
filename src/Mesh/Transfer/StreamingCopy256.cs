// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mooncake.Mesh.Transfer;

/// <summary>
/// As <see cref="StreamingCopy512"/>, with AVX2: a stripe is two halves, each with accumulators of its own.
/// </summary>
internal static unsafe class StreamingCopy256
{
    /// <summary>Shortest copy, in bytes.</summary>
    public const long Least = 4 * XxHash3Form.Block;

    private const int Line = 64;
    private const int Half = 32;

    /// <summary>Copies at least <see cref="Least"/> bytes.</summary>
    public static void Copy(byte* from, byte* to, long length)
    {
        long at = -(nint)to & (Line - 1);
        Buffer.MemoryCopy(from, to, at, at);
        for (; at <= length - Line; at += Line)
        {
            Sse.Prefetch0(from + at + NativeCopy.Ahead);
            var first = Avx.LoadVector256(from + at);
            var second = Avx.LoadVector256(from + at + Half);
            Avx.StoreAlignedNonTemporal(to + at, first);
            Avx.StoreAlignedNonTemporal(to + at + Half, second);
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
        // Two locals, and not a struct that is passed on by reference: that would be read and written in memory.
        var low = Vector256.Create(XxHash3Form.Start);
        var high = Vector256.Create(XxHash3Form.Start[4..]);
        long at = 0;

        // The last block is left to the second loop: a store ends up to a line after the stripe it goes with.
        long blocks = ((length - 1) / XxHash3Form.Block) - 1;
        for (long block = 0; block < blocks; block++)
        {
            for (int stripe = 0; stripe < XxHash3Form.Block / Line; stripe++, at += Line)
            {
                Sse.Prefetch0(from + at + NativeCopy.Ahead);
                low = Add(low, from + at, secret + (8 * stripe));
                high = Add(high, from + at + Half, secret + (8 * stripe) + Half);
                Avx.StoreAlignedNonTemporal(target + at, Avx.LoadVector256(source + at));
                Avx.StoreAlignedNonTemporal(target + at + Half, Avx.LoadVector256(source + at + Half));
            }

            low = Scramble(low, secret + XxHash3Form.ScrambleKey);
            high = Scramble(high, secret + XxHash3Form.ScrambleKey + Half);
        }

        Sse.StoreFence();
        Buffer.MemoryCopy(source + at, target + at, length - head - at, length - head - at);
        return End(low, high, from + at, length - at, length);
    }

    /// <summary>Sums what is left: one whole block, and a last one of at least one byte.</summary>
    private static ulong End(Vector256<ulong> low, Vector256<ulong> high, byte* from, long left, long length)
    {
        byte* secret = XxHash3Form.Secret;
        int stripes = (int)((left - 1) / Line);
        for (int stripe = 0; stripe < stripes; stripe++)
        {
            int place = stripe % (XxHash3Form.Block / Line);
            low = Add(low, from + (stripe * Line), secret + (8 * place));
            high = Add(high, from + (stripe * Line) + Half, secret + (8 * place) + Half);
            if (place == (XxHash3Form.Block / Line) - 1)
            {
                low = Scramble(low, secret + XxHash3Form.ScrambleKey);
                high = Scramble(high, secret + XxHash3Form.ScrambleKey + Half);
            }
        }

        low = Add(low, from + left - Line, secret + XxHash3Form.LastKey);
        high = Add(high, from + left - Half, secret + XxHash3Form.LastKey + Half);
        ulong* words = stackalloc ulong[8];
        Avx.Store(words, low);
        Avx.Store(words + 4, high);
        return XxHash3Form.Merge(words, length);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Add(Vector256<ulong> sum, byte* at, byte* key)
    {
        var data = Avx.LoadVector256((ulong*)at);
        var mixed = Avx2.Xor(data, Avx.LoadVector256((ulong*)key)).AsUInt32();
        var product = Avx2.Multiply(mixed, Avx2.Shuffle(mixed, 0b00_11_00_01));
        var swapped = Avx2.Shuffle(data.AsUInt32(), 0b01_00_11_10).AsUInt64();
        return Avx2.Add(Avx2.Add(sum, swapped), product);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Scramble(Vector256<ulong> sum, byte* at)
    {
        var prime = Vector256.Create(XxHash3Form.Prime1);
        sum = Avx2.Xor(Avx2.Xor(sum, Avx2.ShiftRightLogical(sum, 47)), Avx.LoadVector256((ulong*)at));
        var low = Avx2.Multiply(sum.AsUInt32(), prime);
        var high = Avx2.Multiply(Avx2.ShiftRightLogical(sum, 32).AsUInt32(), prime);
        return Avx2.Add(low, Avx2.ShiftLeftLogical(high, 32));
    }
}
