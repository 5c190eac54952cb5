// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

public sealed class ExtentAllocatorTests
{
    [Theory]
    [InlineData(1, 1, 64, 12, 3_000)]
    [InlineData(2, 64, 4000, 400, 3_000)]
    [InlineData(3, 1000, 200_000, 90_000, 500)] // holes beyond the exact bins
    public void Agrees_with_a_naive_model(int seed, int least, int granules, int largest, int steps)
    {
        var random = new Random(seed);
        var allocator = new ExtentAllocator(granules * Granule);
        var model = new NaiveModel(granules);
        var taken = new List<(long Offset, long Size)>();
        for (int step = 0; step < steps; step++)
        {
            if (taken.Count > 0 && random.Next(100) < 48)
            {
                int pick = random.Next(taken.Count);
                (long offset, long size) = taken[pick];
                taken[pick] = taken[^1];
                taken.RemoveAt(taken.Count - 1);
                allocator.Free(offset, size);
                model.Free(offset / Granule, ExtentAllocator.Rounded(size) / Granule);
            }
            else
            {
                long size = (random.NextInt64(least, largest + 1) * Granule) - random.Next((int)Granule);
                bool fits = ExtentAllocator.Rounded(size) <= model.LargestFree * Granule;
                Assert.Equal(fits, allocator.TryAllocate(size, out long offset));
                if (fits)
                {
                    Assert.Equal(model.BestFit(ExtentAllocator.Rounded(size) / Granule), model.HoleAt(offset / Granule));
                    model.Take(offset / Granule, ExtentAllocator.Rounded(size) / Granule);
                    taken.Add((offset, size));
                }
            }

            Assert.Equal(model.LargestFree * Granule, allocator.LargestFree);
            Assert.Equal(model.Free() * Granule, allocator.FreeBytes);
        }

        foreach ((long offset, long size) in taken)
            allocator.Free(offset, size);
        Assert.Equal(allocator.Capacity, allocator.LargestFree);
    }

    [Fact]
    public void Freed_neighbours_become_one_hole()
    {
        var allocator = new ExtentAllocator(5 * Granule);
        for (int i = 0; i < 5; i++)
            Assert.True(allocator.TryAllocate(Granule, out _));
        Assert.Equal(0, allocator.LargestFree);
        allocator.Free(1 * Granule, Granule);
        allocator.Free(3 * Granule, Granule);
        Assert.Equal(Granule, allocator.LargestFree);
        allocator.Free(2 * Granule, Granule);
        Assert.Equal(3 * Granule, allocator.LargestFree);
        Assert.True(allocator.TryAllocate(3 * Granule, out long offset));
        Assert.Equal(Granule, offset);
    }

    [Fact]
    public void A_value_of_no_bytes_occupies_one_granule()
    {
        var allocator = new ExtentAllocator(2 * Granule);
        Assert.True(allocator.TryAllocate(0, out long first));
        Assert.True(allocator.TryAllocate(1, out long second));
        Assert.False(allocator.TryAllocate(0, out _));
        allocator.Free(first, 0);
        allocator.Free(second, 1);
        Assert.Equal(2 * Granule, allocator.LargestFree);
    }

    [Fact]
    public void Sizes_that_can_never_fit_are_refused()
    {
        var allocator = new ExtentAllocator(2 * Granule);
        Assert.False(allocator.TryAllocate((2 * Granule) + 1, out _));
        Assert.False(allocator.TryAllocate(long.MaxValue, out _));
        Assert.False(new ExtentAllocator(0).TryAllocate(0, out _));
        Assert.Equal(0, new ExtentAllocator(Granule - 1).LargestFree);
    }

    [Fact]
    public void A_wrong_free_is_noticed()
    {
        var allocator = new ExtentAllocator(4 * Granule);
        Assert.True(allocator.TryAllocate(Granule, out long offset));
        allocator.Free(offset, Granule);
        Assert.Throws<ArgumentException>(() => allocator.Free(offset, Granule));
        Assert.Throws<ArgumentException>(() => allocator.Free(1, Granule));
        Assert.Throws<ArgumentException>(() => allocator.Free(4 * Granule, Granule));
        Assert.Throws<ArgumentException>(() => allocator.Free(0, -1));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Mixed_sizes_fill_95_percent_after_long_use(int seed)
    {
        // 1 GiB; sizes of KV blocks of different models, 64 KiB to 4 MiB; four times the segment goes through
        // before the last fill, so that what is filled is a used segment, not a fresh one.
        var random = new Random(seed);
        var allocator = new ExtentAllocator(1L << 30);
        var taken = new List<(long Offset, long Size)>();
        long passed = 0;
        while (passed < 4L << 30)
        {
            long size = MixedSize(random);
            if (allocator.TryAllocate(size, out long offset))
            {
                taken.Add((offset, size));
                passed += size;
                continue;
            }

            for (int i = 0; i < 20; i++)
            {
                int pick = random.Next(taken.Count);
                allocator.Free(taken[pick].Offset, taken[pick].Size);
                taken[pick] = taken[^1];
                taken.RemoveAt(taken.Count - 1);
            }
        }

        while (allocator.TryAllocate(MixedSize(random), out _))
        {
        }

        double filled = 1 - ((double)allocator.FreeBytes / allocator.Capacity);
        Assert.True(filled >= 0.95, $"filled {filled:P1}");
    }

    private static long MixedSize(Random random) =>
        (64L * 1024 << random.Next(6)) + (random.Next(2) * random.Next(64 * 1024));

    private sealed class NaiveModel(int granules)
    {
        private readonly bool[] _taken = new bool[granules];

        private readonly List<(long Start, long Length)> _holes = [(0, granules)];

        public long LargestFree => _holes.Count == 0 ? 0 : _holes.Max(hole => hole.Length);

        public long Free() => _holes.Sum(hole => hole.Length);

        public long BestFit(long length) => _holes.Where(hole => hole.Length >= length).Min(hole => hole.Length);

        public long HoleAt(long start) => _holes.Single(hole => hole.Start <= start && start < hole.Start + hole.Length)
            .Length;

        public void Take(long start, long length) => Mark(start, length, taken: true);

        public void Free(long start, long length) => Mark(start, length, taken: false);

        private void Mark(long start, long length, bool taken)
        {
            for (long at = start; at < start + length; at++)
            {
                Assert.NotEqual(taken, _taken[at]);
                _taken[at] = taken;
            }

            _holes.Clear();
            for (int at = 0; at < _taken.Length; at++)
            {
                int from = at;
                while (at < _taken.Length && !_taken[at])
                    at++;
                if (at > from)
                    _holes.Add((from, at - from));
            }
        }
    }
}
