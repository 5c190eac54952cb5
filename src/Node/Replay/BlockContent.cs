// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>
/// What a block holds: SplitMix64 seeded by its hash id, so that every byte read can be checked without keeping any,
/// and a byte of another block or another offset shows.
/// </summary>
internal static class BlockContent
{
    private const ulong Step = 0x9E3779B97F4A7C15;

    /// <summary>The key of a block.</summary>
    internal static MeshKey Key(long id) => new("kv/" + id.ToString(CultureInfo.InvariantCulture));

    /// <summary>Fills <paramref name="block"/> with the content of block <paramref name="id"/>.</summary>
    internal static void Fill(long id, Span<byte> block)
    {
        ulong state = Mix((ulong)id + Step);
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(block);
        for (int i = 0; i < words.Length; i++)
        {
            state += Step;
            ulong word = Mix(state);
            words[i] = BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word);
        }

        Span<byte> rest = block[(words.Length * sizeof(ulong))..];
        Span<byte> last = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(last, Mix(state + Step));
        last[..rest.Length].CopyTo(rest);
    }

    /// <summary>How many bytes of <paramref name="got"/> are not those of the block; missing ones count too.</summary>
    internal static long WrongBytes(long id, ReadOnlySpan<byte> got, Span<byte> scratch)
    {
        Fill(id, scratch);
        if (got.SequenceEqual(scratch))
            return 0;
        int common = Math.Min(got.Length, scratch.Length);
        long wrong = Math.Max(got.Length, scratch.Length) - common;
        for (int i = 0; i < common; i++)
            wrong += got[i] == scratch[i] ? 0 : 1;
        return wrong;
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
