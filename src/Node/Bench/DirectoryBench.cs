// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Serve;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>"bench directory": what a million objects cost their owner and holder.</summary>
internal static class DirectoryBench
{
    private const int Objects = 1_000_000;
    private const int KeyBytes = 16;
    private const int Batch = 256;

    internal static async Task RunAsync(BenchReport report, BenchOptions options)
    {
        Table(report);
        await NodeAsync(report, options);
    }

    /// <summary>Key number <paramref name="i"/>: 16 bytes.</summary>
    internal static MeshKey Key(int i)
    {
        var bytes = new byte[KeyBytes];
        MemoryMarshal.Write(bytes, (ulong)i * 0x9E3779B97F4A7C15);
        MemoryMarshal.Write(bytes.AsSpan(8), (ulong)i);
        return new MeshKey(bytes);
    }

    private static void Table(BenchReport report)
    {
        using var table = new DirectoryTable(MeshConfig.DefaultSlots);
        Fill(table, 0, 1);
        table.Dispose();
        using var fresh = new DirectoryTable(MeshConfig.DefaultSlots);
        long before = OffHeapBytes();
        double longest = Fill(fresh, 0, Objects);
        report.Add(new BenchRow("directory.bytes_per_object", (OffHeapBytes() - before) / (double)Objects, "B"));
        report.Add(new BenchRow("directory.longest_insert", longest, "us"));
        for (int i = 0; i < Objects; i += 2)
        {
            MeshKey key = Key(i);
            fresh.Remove(fresh.SlotOf(key.Hash), key);
        }

        Fill(fresh, Objects, Objects + (Objects / 2));
        report.Add(new BenchRow("directory.bytes_per_object.refilled",
            (OffHeapBytes() - before) / (double)Objects, "B"));
    }

    /// <summary>Sets records of keys; the longest single call, in microseconds.</summary>
    private static double Fill(DirectoryTable table, int from, int to)
    {
        long longest = 0;
        for (int i = from; i < to; i++)
        {
            MeshKey key = Key(i);
            var record = new ObjectRecord
            {
                Version = new RecordVersion(1, 1, i + 1),
                ObjectId = (ulong)i + 1,
                Size = 4096,
                Checksum = key.Hash,
                Replicas = [new Replica(1, 0, (long)i << 12, (ulong)i)],
            };
            int slot = table.SlotOf(key.Hash);
            long start = Stopwatch.GetTimestamp();
            table.Set(slot, key, record);
            longest = Math.Max(longest, Stopwatch.GetTimestamp() - start);
        }

        return longest * 1e6 / Stopwatch.Frequency;
    }

    /// <summary>
    /// A node in this process that takes a million objects: how long it stood still for a collection.
    /// </summary>
    private static async Task NodeAsync(BenchReport report, BenchOptions options)
    {
        const long SegmentBytes = 5L << 30;
        await using DevMesh mesh = await DevMesh.StartAsync(
            1, SegmentBytes, NullLoggerFactory.Instance, options.Cancel);
        await using MeshClient client = MeshClient.For(mesh.Nodes[0]);
        using var pauses = new CollectionPauses();
        long start = Stopwatch.GetTimestamp();
        byte[] value = new byte[64];
        var keys = new List<MeshKey>(Batch);
        ReadOnlyMemory<byte>[] values = [.. Enumerable.Repeat<ReadOnlyMemory<byte>>(value, Batch)];
        int stored = 0;
        for (int i = 0; i < Objects; i++)
        {
            keys.Add(Key(i));
            if (keys.Count < Batch && i + 1 < Objects)
                continue;
            MeshResult<PutOutcome>[] results =
                await client.TryPutBatchAsync(keys, values[..keys.Count], null, options.Cancel);
            stored += results.Count(result => result.Succeeded);
            if (Array.Find(results, result => !result.Succeeded).Error is { } error)
                throw new MeshException(error);
            keys.Clear();
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        report.Add(new BenchRow("node.objects", stored, "objects"));
        report.Add(new BenchRow("node.put_rate", stored / seconds, "puts/s"));
        report.Add(new BenchRow("node.longest_gc_pause.filling", pauses.LongestMs, "ms"));
        pauses.Reset();
        GC.Collect(2, GCCollectionMode.Forced, blocking: false);
        // Reads of everything while the background collection runs, as a server would have them.
        for (int i = 0; i < Objects; i += Batch)
        {
            keys.Clear();
            for (int k = i; k < Math.Min(i + Batch, Objects); k++)
                keys.Add(Key(k));
            await client.TryExistsBatchAsync(keys, options.Cancel);
        }

        report.Add(new BenchRow("node.longest_gc_pause.full", pauses.LongestMs, "ms"));
    }

    /// <summary>Resident memory that is not the garbage-collected heap, in bytes.</summary>
    private static long OffHeapBytes()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        string pages = File.ReadAllText("/proc/self/statm").Split(' ')[1];
        long resident = long.Parse(pages, CultureInfo.InvariantCulture) * Environment.SystemPageSize;
        return resident - GC.GetGCMemoryInfo().TotalCommittedBytes;
    }
}
