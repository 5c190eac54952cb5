// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// How soon a node with 4 GiB serves: from the start of its process until it says so, and until a client that has
/// looked for it in etcd all the while has stored 1 MiB in it. The limit is what is asked for, one second.
/// </summary>
internal static class StartBench
{
    private const int Starts = 5;
    private const int Value = 1 << 20;
    private const double Demand = 1000;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    internal static async Task RunAsync(BenchReport report, BenchOptions options)
    {
        await using BenchMesh etcd = await BenchMesh.StartAsync(options.Etcd, 0, 0);
        using var memory = new BenchMemory(Value);
        double[] ready = new double[Starts];
        double[] stored = new double[Starts];
        // One more, not measured: this process compiles its client, and the program's files come into the cache.
        await StartAsync(etcd.Etcd, memory);
        for (int i = 0; i < Starts; i++)
        {
            options.Cancel.ThrowIfCancellationRequested();
            (ready[i], stored[i]) = await StartAsync(etcd.Etcd, memory);
        }

        report.Add(new BenchRow("start.4GiB.ready", Alternating.Median(ready), "ms"));
        double first = Alternating.Median(stored);
        report.Add(new BenchRow("start.4GiB.first_put", first, "ms", Demand, first / Demand));
    }

    /// <summary>Milliseconds until the node said that it serves, and until the first put had succeeded.</summary>
    private static async Task<(double Ready, double Stored)> StartAsync(string etcd, BenchMemory memory)
    {
        await using BenchMesh mesh = await BenchMesh.StartAsync(etcd, 0, 0);
        long start = Stopwatch.GetTimestamp();
        Task<double> ready = ReadyAsync(mesh, start);
        try
        {
            await using MeshClient client = await mesh.FindAsync(Limit);
            MeshResult<PutOutcome> put = await client.TryPutAsync(
                new MeshKey("first"), memory.Range, new PutOptions { Deadline = Limit });
            if (put.Error is { } error)
                throw new MeshException(error);
            double stored = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            return (await ready, stored);
        }
        finally
        {
            // A process that still starts is not known to the mesh yet, and would outlive it.
            await Task.WhenAny(ready);
        }
    }

    private static async Task<double> ReadyAsync(BenchMesh mesh, long start)
    {
        await mesh.AddNodeAsync(0, 4L << 30);
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }
}
