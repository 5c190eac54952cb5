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
    private readonly int _words;

    internal MixedBytes(EnginePair pair, int sliceBytes)
    {
        _pair = pair;
        _words = sliceBytes / sizeof(ulong);
    }

    internal void Fill(int firstSlice, int slices)
    {
        for (int slice = firstSlice; slice < firstSlice + slices; slice++)
        {
            FillSlice(_pair.NearBytes, slice, isNear: true);
            FillSlice(_pair.FarBytes, slice, isNear: false);
        }
    }

    internal void AssertMoved(int firstSlice, int slices)
    {
        for (int slice = firstSlice; slice < firstSlice + slices; slice++)
        {
            ulong first = FirstOf(slice, isNear: slice % 2 != 0);
            Assert.True(Holds(_pair.NearBytes, slice, first), $"slice {slice} at the near side");
            Assert.True(Holds(_pair.FarBytes, slice, first), $"slice {slice} at the far side");
        }
    }

    private void FillSlice(GuardedMemory memory, int slice, bool isNear)
    {
        ulong next = FirstOf(slice, isNear);
        foreach (ref ulong word in Words(memory, slice))
            word = next++;
    }

    private bool Holds(GuardedMemory memory, int slice, ulong first)
    {
        bool same = true;
        foreach (ulong word in Words(memory, slice))
            same &= word == first++;
        return same;
    }

    private ulong FirstOf(int slice, bool isNear) => ((isNear ? 1ul : 2ul) << 40) + (ulong)((long)slice * _words);

    private Span<ulong> Words(GuardedMemory memory, int slice) => memory.Words.Slice(slice * _words, _words);
}
