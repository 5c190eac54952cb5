// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>
/// What a mixed batch moves: before it every word differs from every other of both sides, so that one that lands in a
/// wrong place is found; after it the slices that were read are the far side's on both, the rest the near side's.
/// </summary>
internal sealed class MixedBytes
{
    private readonly EnginePair _pair;
    private readonly ulong[] _near;
    private readonly ulong[] _far;
    private readonly int _words;

    internal MixedBytes(EnginePair pair, int sliceBytes)
    {
        _pair = pair;
        _words = sliceBytes / sizeof(ulong);
        _near = new ulong[pair.NearBytes.Words.Length];
        _far = new ulong[_near.Length];
        for (int i = 0; i < _near.Length; i++)
        {
            _near[i] = (1ul << 40) + (ulong)i;
            _far[i] = (2ul << 40) + (ulong)i;
        }
    }

    internal void Fill(int firstSlice, int slices)
    {
        Slices(_near, firstSlice, slices).CopyTo(Slices(_pair.NearBytes, firstSlice, slices));
        Slices(_far, firstSlice, slices).CopyTo(Slices(_pair.FarBytes, firstSlice, slices));
    }

    internal void AssertMoved(int firstSlice, int slices)
    {
        for (int slice = firstSlice; slice < firstSlice + slices; slice++)
        {
            var sent = Slices(slice % 2 == 0 ? _far : _near, slice, 1);
            Assert.True(sent.SequenceEqual(Slices(_pair.NearBytes, slice, 1)), $"slice {slice} at the near side");
            Assert.True(sent.SequenceEqual(Slices(_pair.FarBytes, slice, 1)), $"slice {slice} at the far side");
        }
    }

    private Span<ulong> Slices(GuardedMemory memory, int first, int count) =>
        memory.Words.Slice(first * _words, count * _words);

    private Span<ulong> Slices(ulong[] words, int first, int count) => words.AsSpan(first * _words, count * _words);
}
