// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

public sealed class GenerationTableTests
{
    [Fact]
    public void Words_never_repeat_and_are_never_0()
    {
        using GenerationTable table =
            GenerationTable.Create("test", 4 * Granule, new GenerationCounter(Runtime.Random)).Value;
        Assert.Equal(0ul, table.Read(0));
        var seen = new HashSet<ulong>();
        for (int i = 0; i < 1_000; i++)
        {
            long offset = i % 4 * Granule;
            ulong word = table.Advance(offset);
            Assert.NotEqual(0ul, word);
            Assert.True(seen.Add(word));
            Assert.Equal(word, table.Read(offset));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => table.Read(4 * Granule));
        Assert.Throws<ArgumentOutOfRangeException>(() => table.Read(-1));
    }

    [Fact]
    public void The_counter_passes_over_0()
    {
        var counter = new GenerationCounter(new Last());
        Assert.Equal(1ul, counter.Next());
    }

    [Fact]
    public unsafe void A_reader_finds_the_word_by_granule()
    {
        using GenerationTable table =
            GenerationTable.Create("test", 8 * Granule, new GenerationCounter(Runtime.Random)).Value;
        using MemoryBlock reader =
            MemoryBlock.MapReadOnly(table.Memory.OpenReadOnly().Value, table.Memory.Length).Value;
        ulong word = table.Advance(5 * Granule);
        Assert.Equal(word, ((ulong*)reader.Pointer)[5]);
    }

    [Fact]
    public void Stores_start_at_different_words()
    {
        using ObjectStore first = Create(Granule);
        using ObjectStore second = Create(Granule);
        Assert.NotEqual(first.Segments[0].Generations.Advance(0), second.Segments[0].Generations.Advance(0));
    }

    private sealed class Last : RandomSource
    {
        public override ulong NextUInt64() => ulong.MaxValue;
    }
}
