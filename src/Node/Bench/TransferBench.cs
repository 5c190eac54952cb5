// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// "bench transfer": large objects between a client and a node, each a process of its own. Within the host the limit is
/// the runtime's copy of the same bytes out of the same memory, over tcp a raw loop, for views a bare echo.
/// </summary>
internal static class TransferBench
{
    private const int MiB = 1 << 20;
    private const long SegmentBytes = 1536L * MiB;
    private const int Views = 500;

    /// <summary>What a loaded machine does not reach.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    internal static async Task RunAsync(BenchReport report, BenchOptions options)
    {
        await using BenchMesh mesh = await BenchMesh.StartAsync(options.Etcd, 1, SegmentBytes);
        using var memory = new BenchMemory(MemoryBench.Rotation);
        MemoryBench.Fill(memory.Range);
        await using (MeshClient local = await mesh.ConnectAsync())
        {
            foreach (int size in (int[])[MiB, 16 * MiB])
                await SharedAsync(report, local, memory, size);
            await ViewsAsync(report, local);
        }

        await using MeshClient far = await mesh.ConnectAsync(overTcp: true);
        using RawPeer raw = await RawPeer.StartAsync();
        foreach (int size in (int[])[MiB, 16 * MiB])
            await SocketsAsync(report, far, raw, memory, size);
    }

    private static async Task SharedAsync(BenchReport report, MeshClient client, BenchMemory memory, int size)
    {
        List<MeshKey> keys = await PutAllAsync(client, memory, size, "shm");
        var views = new List<MappedView>();
        foreach (MeshKey key in keys)
            views.Add(await client.ViewAsync(key));
        Task<double> CopyOut() => Task.FromResult(GigabytesASecond(memory, () =>
        {
            for (int i = 0; i < views.Count; i++)
                MemoryBench.CopyPlain(views[i].Range.Address, Part(memory, i, size).Address, size);
        }));
        string name = $"{size / MiB}MiB";
        report.Add(BenchRow.Of($"shm.get.{name}.verified", "GB/s", await Alternating.RunAsync(
            () => GetAllAsync(client, keys, memory, size, verify: true), CopyOut)));
        report.Add(BenchRow.Of($"shm.get.{name}.unverified", "GB/s", await Alternating.RunAsync(
            () => GetAllAsync(client, keys, memory, size, verify: false), CopyOut)));
        views.ForEach(view => view.Dispose());
        await RemoveAsync(client, keys);

        using var other = new BenchMemory(MemoryBench.Rotation);
        Task<double> CopyIn() => Task.FromResult(GigabytesASecond(memory, () =>
        {
            for (long at = 0; at < MemoryBench.Rotation; at += size)
                MemoryBench.CopyPlain(memory.Range.Address + (nint)at, other.Range.Address + (nint)at, size);
        }));
        report.Add(BenchRow.Of($"shm.put.{name}.verified", "GB/s", await Alternating.RunAsync(
            () => TimedPutAsync(client, memory, size, "shm-put"), CopyIn)));
    }

    private static async Task SocketsAsync(BenchReport report, MeshClient client, RawPeer raw, BenchMemory memory,
        int size)
    {
        List<MeshKey> keys = await PutAllAsync(client, memory, size, "tcp");
        string name = $"{size / MiB}MiB";
        foreach (bool verify in (bool[])[true, false])
        {
            report.Add(BenchRow.Of($"tcp.get.{name}.{(verify ? "verified" : "unverified")}", "GB/s",
                await Alternating.RunAsync(() => GetAllAsync(client, keys, memory, size, verify),
                    () => Task.FromResult(raw.Receive(memory.Range, size)))));
        }

        await RemoveAsync(client, keys);
        report.Add(BenchRow.Of($"tcp.put.{name}.verified", "GB/s", await Alternating.RunAsync(
            () => TimedPutAsync(client, memory, size, "tcp-put"),
            () => Task.FromResult(raw.Send(memory.Range, size)))));
    }

    private static async Task ViewsAsync(BenchReport report, MeshClient client)
    {
        using var large = new BenchMemory(64 * MiB);
        var small = new MeshKey("view/1MiB");
        var big = new MeshKey("view/64MiB");
        await PutAsync(client, small, large.Range with { Length = MiB });
        await PutAsync(client, big, large.Range);
        using var spinners = new Spinners();
        using EchoPeer echo = await EchoPeer.StartAsync();
        report.Add(BenchRow.Of("view.open_close.1MiB", "us",
            await Alternating.RunAsync(() => ViewAsync(client, small), () => echo.RunAsync(Views))));
        report.Add(BenchRow.Of("view.open_close.64MiB", "us",
            await Alternating.RunAsync(() => ViewAsync(client, big), () => echo.RunAsync(Views))));
        report.Add(BenchRow.Of("view.open_close.64MiB.to_1MiB", "us",
            await Alternating.RunAsync(() => ViewAsync(client, big), () => ViewAsync(client, small))));
        await RemoveAsync(client, [small, big]);
    }

    private static async Task<double> ViewAsync(MeshClient client, MeshKey key)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Views; i++)
        {
            using MappedView view = (await client.TryViewAsync(key)).Value;
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / Views;
    }

    private static async Task<double> GetAllAsync(MeshClient client, List<MeshKey> keys, BenchMemory memory, int size,
        bool verify)
    {
        var options = new GetOptions { Verify = verify, Deadline = Limit };
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < keys.Count; i++)
        {
            MeshResult<long> got = await client.TryGetAsync(keys[i], Part(memory, i, size), options);
            if (got.Error is { } error)
                throw new MeshException(error);
        }

        return MemoryBench.Rotation / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    private static async Task<double> TimedPutAsync(MeshClient client, BenchMemory memory, int size, string prefix)
    {
        long start = Stopwatch.GetTimestamp();
        List<MeshKey> keys = await PutAllAsync(client, memory, size, prefix);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        await RemoveAsync(client, keys);
        return MemoryBench.Rotation / seconds / 1e9;
    }

    private static async Task<List<MeshKey>> PutAllAsync(MeshClient client, BenchMemory memory, int size, string prefix)
    {
        var keys = new List<MeshKey>();
        for (int i = 0; i < MemoryBench.Rotation / size; i++)
        {
            keys.Add(new MeshKey($"{prefix}/{size}/{i}"));
            await PutAsync(client, keys[i], Part(memory, i, size));
        }

        return keys;
    }

    private static async Task PutAsync(MeshClient client, MeshKey key, NativeRange value)
    {
        MeshResult<PutOutcome> put = await client.TryPutAsync(key, value, new PutOptions { Deadline = Limit });
        if (put.Error is { } error)
            throw new MeshException(error);
    }

    private static async Task RemoveAsync(MeshClient client, List<MeshKey> keys)
    {
        foreach (MeshKey key in keys)
            await client.RemoveAsync(key);
    }

    private static double GigabytesASecond(BenchMemory memory, Action work)
    {
        long start = Stopwatch.GetTimestamp();
        work();
        return memory.Range.Length / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    private static NativeRange Part(BenchMemory memory, int index, int size) =>
        new(memory.Range.Address + ((nint)index * size), size);
}
