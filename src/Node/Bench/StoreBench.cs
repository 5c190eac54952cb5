// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// "bench store": small objects. Client, holder, primary and backup are processes of their own; each latency is
/// compared with a bare echo of the same run, the cores kept awake.
/// </summary>
internal static class StoreBench
{
    private const int Small = 4096;
    private const int Calls = 150;
    private const int Keys = 256;

    /// <summary>
    /// Which of four processes finds which core free makes one round's ratio differ by a third from the next one's: the
    /// median of a few tells little.
    /// </summary>
    private const int Rounds = 99;

    /// <summary>Rounds before the measured ones: the runtime's second compilation comes in the background.</summary>
    private const int WarmUps = 80;

    internal static async Task RunAsync(BenchReport report, BenchOptions options)
    {
        using (new Spinners())
        {
            using EchoPeer echo = await EchoPeer.StartAsync();
            await LatencyAsync(report, options, echo);
        }

        await BatchBench.RunAsync(report, options);
    }

    private static async Task LatencyAsync(BenchReport report, BenchOptions options, EchoPeer echo)
    {
        await using BenchMesh mesh = await BenchMesh.StartAsync(options.Etcd, 3, 256 << 20);
        foreach (bool overTcp in (bool[])[false, true])
        {
            await using MeshClient client = await mesh.ConnectAsync(overTcp);
            string lane = overTcp ? "tcp" : "local";
            await GetAsync(report, client, echo, $"get.4KiB.{lane}.primary_holds", 0);
            await GetAsync(report, client, echo, $"get.4KiB.{lane}.other_holds", 1);
            await PutAsync(report, client, echo, $"put.4KiB.{lane}.three_nodes", lane);
        }
    }

    /// <summary>Gets of keys that node 0 owns, of objects that node 0 or another one holds.</summary>
    private static async Task GetAsync(BenchReport report, MeshClient client, EchoPeer echo, string name, int holder)
    {
        var keys = new List<MeshKey>();
        byte[] value = new byte[Small];
        for (int i = 0; keys.Count < Keys; i++)
        {
            var key = new MeshKey($"{name}/{i}");
            if (client.OwnersOf(key)[0] != BenchMesh.NodeId(0))
                continue;
            await client.PutAsync(key, value, PutAt(holder));
            keys.Add(key);
        }

        using var memory = new BenchMemory(Small);
        int turn = 0;
        await ReportAsync(report, name, echo, async () =>
        {
            MeshResult<long> got = await client.TryGetAsync(keys[turn++ % Keys], memory.Range);
            if (!got.Succeeded)
                throw new MeshException(got.Error!);
        });
    }

    /// <summary>Puts into node 0 of keys whose primary and backup are nodes 1 and 2.</summary>
    private static async Task PutAsync(BenchReport report, MeshClient client, EchoPeer echo, string name, string lane)
    {
        var keys = new List<MeshKey>();
        for (int i = 0; keys.Count < Calls * (WarmUps + 1 + Rounds); i++)
        {
            var key = new MeshKey($"put/{lane}/{i}");
            IReadOnlyList<string> owners = client.OwnersOf(key);
            if (owners[0] != BenchMesh.NodeId(0) && owners[1] != BenchMesh.NodeId(0))
                keys.Add(key);
        }

        using var memory = new BenchMemory(Small);
        PutOptions options = PutAt(0);
        int turn = 0;
        await ReportAsync(report, name, echo, async () =>
        {
            MeshResult<PutOutcome> put = await client.TryPutAsync(keys[turn++], memory.Range, options);
            if (put.Error is { } error)
                throw new MeshException(error);
        });
    }

    private static PutOptions PutAt(int node) =>
        new() { Placement = Placement.Preferred, PreferredNode = BenchMesh.NodeId(node) };

    private static async Task ReportAsync(BenchReport report, string name, EchoPeer echo, Func<Task> call)
    {
        for (int i = 0; i < WarmUps; i++)
            await RoundAsync();
        report.Add(BenchRow.Of(name, "us", await Alternating.RunAsync(RoundAsync, () => echo.RunAsync(Calls), Rounds)));

        async Task<double> RoundAsync()
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < Calls; i++)
                await call();
            return Stopwatch.GetElapsedTime(start).TotalMicroseconds / Calls;
        }
    }
}

/// <summary>Native memory of a measurement, every page of it resident.</summary>
internal sealed unsafe class BenchMemory : IDisposable
{
    private const int Page = 4096;
    private void* _pointer;

    internal BenchMemory(long bytes)
    {
        _pointer = NativeMemory.AlignedAlloc((nuint)bytes, Page);
        for (long at = 0; at < bytes; at += Page)
            ((byte*)_pointer)[at] = (byte)at;
        Range = new NativeRange((nint)_pointer, bytes);
    }

    /// <summary>All of it.</summary>
    internal NativeRange Range { get; }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_pointer);
        _pointer = null;
    }
}
