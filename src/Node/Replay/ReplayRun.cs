// SPDX-License-Identifier: Apache-2.0

using System.Threading.Channels;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>How a trace is replayed.</summary>
internal sealed record ReplayOptions
{
    /// <summary>Bytes of a block.</summary>
    internal int BlockSize { get; init; } = 4096;

    /// <summary>Requests in flight.</summary>
    internal int Concurrency { get; init; } = 1;

    /// <summary>Blocks in a call, at most.</summary>
    internal int Batch { get; init; } = 64;

    /// <summary>Times real time; null: as fast as possible.</summary>
    internal double? Speed { get; init; }

    /// <summary>Requests to replay; null: all.</summary>
    internal long? Limit { get; init; }

    /// <summary>Deadline of each call.</summary>
    internal TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(1);
}

/// <summary>
/// Replays a trace: for each request, match its blocks, get those that are there and check every byte, put those that
/// are not. With one request in flight the hits depend on the trace and the mesh's capacity alone.
/// </summary>
internal sealed class ReplayRun(IBlockStore store, ReplayOptions options, TimeProvider time)
{
    private const int MaxBatchBytes = 16 << 20;

    private readonly int _batch = Math.Clamp(MaxBatchBytes / options.BlockSize, 1, options.Batch);

    /// <summary>What has been counted.</summary>
    internal ReplayStatistics Statistics { get; } = new(time, options.Deadline);

    /// <summary>Called after each request with the number of those done.</summary>
    internal Action<long>? OnProgress { get; init; }

    /// <summary>Replays all requests.</summary>
    internal async Task<ReplayReport> RunAsync(IAsyncEnumerable<TraceRequest> trace, CancellationToken cancel)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var queue = Channel.CreateBounded<TraceRequest>(options.Concurrency);
        Task[] tasks =
        [
            Guard(FeedAsync(trace, queue.Writer, failed.Token), failed),
            .. Enumerable.Range(0, options.Concurrency)
                .Select(_ => Guard(WorkAsync(queue.Reader, failed.Token), failed)),
        ];
        await Task.WhenAll(tasks.Select(task => task.ContinueWith(_ => { }, TaskScheduler.Default)));
        foreach (Task task in tasks.Where(task => task.IsFaulted))
            await task;
        cancel.ThrowIfCancellationRequested();
        return Statistics.Report();
    }

    private static async Task Guard(Task work, CancellationTokenSource failed)
    {
        try
        {
            await work;
        }
        catch
        {
            await failed.CancelAsync();
            throw;
        }
    }

    private async Task FeedAsync(
        IAsyncEnumerable<TraceRequest> trace, ChannelWriter<TraceRequest> queue, CancellationToken cancel)
    {
        long start = time.GetTimestamp();
        double? first = null;
        long fed = 0;
        await foreach (TraceRequest request in trace.WithCancellation(cancel))
        {
            if (fed++ == options.Limit)
                break;
            first ??= request.Timestamp;
            if (options.Speed is { } speed)
            {
                TimeSpan due = TimeSpan.FromMilliseconds((request.Timestamp - first.Value) / speed);
                TimeSpan early = time.LeftOf(due, start);
                if (early > TimeSpan.Zero)
                    await Task.Delay(early, time, cancel);
            }

            await queue.WriteAsync(request, cancel);
        }

        queue.Complete();
    }

    private async Task WorkAsync(ChannelReader<TraceRequest> queue, CancellationToken cancel)
    {
        var worker = new ReplayWorker(store, options.BlockSize, _batch, time, Statistics);
        await foreach (TraceRequest request in queue.ReadAllAsync(cancel))
        {
            long done = await worker.RequestAsync(request.HashIds, cancel);
            OnProgress?.Invoke(done);
        }
    }
}
