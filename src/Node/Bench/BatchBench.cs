// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// Questions in batches of 128 keys out of a million, eight batches in flight on one connection, every answer decoded.
/// </summary>
internal static class BatchBench
{
    private const int Objects = 1_000_000;
    private const int Batch = 128;
    private const int InFlight = 8;
    private const int BatchesARound = 4096;
    private const int Rounds = 9;

    /// <summary>Rounds before the measured ones: the runtime's second compilation comes in the background.</summary>
    private const int WarmUps = 4;

    private const int ValueBytes = 64;

    internal static async Task RunAsync(BenchReport report, BenchOptions options)
    {
        await using BenchMesh mesh = await BenchMesh.StartAsync(options.Etcd, 1, 5L << 30);
        foreach (bool overTcp in (bool[])[false, true])
        {
            await using MeshClient client = await mesh.ConnectAsync(overTcp);
            if (!overTcp)
                await StoreAsync(report, client, options.Cancel);
            string lane = overTcp ? "tcp" : "local";
            MeshKey[][] batches = Batches();
            report.Add(new BenchRow($"exists.batch128.{lane}", await MedianAsync(async turn =>
            {
                MeshResult<bool>[] there = await client.TryExistsBatchAsync(batches[turn % batches.Length]);
                foreach (MeshResult<bool> one in there)
                    Check(one.Value);
            }), "M keys/s"));
            report.Add(new BenchRow($"locate.batch128.{lane}", await MedianAsync(async turn =>
            {
                ObjectLocations where = await client.TryLocateBatchAsync(batches[turn % batches.Length]);
                for (int i = 0; i < Batch; i++)
                {
                    if (where.ErrorOf(i) is { } error)
                        throw new MeshException(error);
                    Check(where.IsPresent(i) && where.CopiesOf(i) == 1 && where.SizeOf(i) == ValueBytes);
                }
            }), "M keys/s"));
        }
    }

    private static void Check(bool right)
    {
        if (!right)
            throw new MeshException(new MeshError(MeshErrorCode.Unknown, "bench", "a stored key was not found"));
    }

    private static async Task StoreAsync(BenchReport report, MeshClient client, CancellationToken cancel)
    {
        const int PutBatch = 512;
        ReadOnlyMemory<byte>[] values = [.. Enumerable.Repeat<ReadOnlyMemory<byte>>(new byte[ValueBytes], PutBatch)];
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Objects; i += PutBatch)
        {
            MeshKey[] keys = [.. Enumerable.Range(i, Math.Min(PutBatch, Objects - i)).Select(DirectoryBench.Key)];
            MeshResult<PutOutcome>[] puts =
                await client.TryPutBatchAsync(keys, values[..keys.Length], null, cancel);
            foreach (MeshResult<PutOutcome> put in puts)
                _ = put.Value;
        }

        report.Add(new BenchRow("put.64B.batches", Objects / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e6,
            "M puts/s"));
    }

    /// <summary>Batches of keys in a random order, made before anything is timed.</summary>
    private static MeshKey[][] Batches()
    {
        var random = new Random(7);
        var batches = new MeshKey[2048][];
        for (int i = 0; i < batches.Length; i++)
        {
            batches[i] = new MeshKey[Batch];
            for (int k = 0; k < Batch; k++)
                batches[i][k] = DirectoryBench.Key(random.Next(Objects));
        }

        return batches;
    }

    /// <summary>Millions of keys a second.</summary>
    private static async Task<double> MedianAsync(Func<int, Task> ask)
    {
        var figures = new double[Rounds];
        for (int round = -WarmUps; round < Rounds; round++)
        {
            int turn = 0;
            long start = Stopwatch.GetTimestamp();
            await Task.WhenAll(Enumerable.Range(0, InFlight).Select(_ => LoopAsync()));
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (round >= 0)
                figures[round] = (double)BatchesARound * Batch / seconds / 1e6;

            async Task LoopAsync()
            {
                while (Interlocked.Increment(ref turn) is var mine && mine <= BatchesARound)
                    await ask(mine);
            }
        }

        return Alternating.Median(figures);
    }
}
