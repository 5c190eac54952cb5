// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.IO.Hashing;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>"bench allocator": who owns a hashed key, and where its bytes go.</summary>
internal static class AllocatorBench
{
    private const long GiB = 1L << 30;
    private const int Turns = 9;

    internal static Task RunAsync(BenchReport report)
    {
        report.Add(new BenchRow("slot.lookup.8_nodes", MedianOf(Lookup(8)), "M/s"));
        report.Add(new BenchRow("slot.lookup.64_nodes", MedianOf(Lookup(64)), "M/s"));
        foreach (long size in (long[])[1, 4, 64])
            report.Add(new BenchRow($"extent.allocate_free.{size}GiB", MedianOf(Churn(size * GiB)), "M/s"));

        report.Add(new BenchRow("extent.fill.mixed.1GiB", MedianOf(() => Fill(GiB)), "%"));
        return Task.CompletedTask;
    }

    private static double MedianOf(Func<double> measure)
    {
        measure();
        var figures = new double[Turns];
        for (int i = 0; i < Turns; i++)
            figures[i] = measure();
        return Alternating.Median(figures);
    }

    /// <summary>Lookups of hashed keys in a table of the default size, in millions a second.</summary>
    private static Func<double> Lookup(int nodes)
    {
        var members = new List<NodeRecord>();
        for (int i = 0; i < nodes; i++)
            members.Add(new NodeRecord
            {
                NodeId = $"node-{i:000}", Incarnation = (ulong)i + 1, Ring = new RingShare { Weight = 100 },
            });
        SlotTable table = SlotTable.Build(members, MeshConfig.DefaultSlots);
        var hashes = new ulong[1 << 20];
        for (int i = 0; i < hashes.Length; i++)
            hashes[i] = XxHash3.HashToUInt64(BitConverter.GetBytes(i));
        return () =>
        {
            const int Rounds = 16;
            long sum = 0;
            long start = Stopwatch.GetTimestamp();
            for (int round = 0; round < Rounds; round++)
            {
                foreach (ulong hash in hashes)
                    sum += table.PrimaryIndex(hash);
            }

            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            GC.KeepAlive(sum);
            return (double)Rounds * hashes.Length / seconds / 1e6;
        };
    }

    /// <summary>
    /// Pairs of one allocation and one free, in millions a second, in a segment kept 80 % full with sizes from 4 KiB
    /// to 256 KiB: what is freed is a random one, so that holes of all sizes are about.
    /// </summary>
    private static Func<double> Churn(long length)
    {
        var allocator = new ExtentAllocator(length);
        var random = new Random(1);
        var live = new List<(long Offset, long Size)>();
        while (allocator.FreeBytes > length / 5)
        {
            long size = SizeOf(random);
            if (!allocator.TryAllocate(size, out long offset))
                break;
            live.Add((offset, size));
        }

        const int Count = 500_000;
        var victims = new int[Count];
        var sizes = new long[Count];
        for (int i = 0; i < Count; i++)
        {
            victims[i] = random.Next(live.Count);
            sizes[i] = SizeOf(random);
        }

        return () =>
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < Count; i++)
            {
                var (offset, size) = live[victims[i]];
                allocator.Free(offset, size);
                if (!allocator.TryAllocate(sizes[i], out long made))
                    throw new InvalidOperationException("the churned segment has no room");
                live[victims[i]] = (made, sizes[i]);
            }

            return Count / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e6;
        };
    }

    /// <summary>
    /// How full a segment is, in percent of its bytes, when it refuses a mixed size for the first time.
    /// </summary>
    private static double Fill(long length)
    {
        var allocator = new ExtentAllocator(length);
        var random = new Random(2);
        long used = 0;
        while (MixedSize(random) is var size && allocator.TryAllocate(size, out _))
            used += size;
        return 100.0 * used / length;
    }

    private static long SizeOf(Random random) => (long)(1 + random.Next(64)) << 12;

    /// <summary>From 4 KiB to 4 MiB, each magnitude as likely as another; not in whole granules.</summary>
    private static long MixedSize(Random random)
    {
        long from = 4096L << random.Next(10);
        return from + random.NextInt64(from);
    }
}
