// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Staging;

/// <summary>What is moved, and what must hold once it has been.</summary>
/// <param name="From">Where the bytes are.</param>
/// <param name="To">Where they go, of the same length; of length 0: nowhere, they are summed.</param>
/// <param name="Sums">Gets their sums, or null.</param>
/// <param name="SumAcross">See <see cref="DeviceMoves.Run"/>.</param>
internal readonly record struct DeviceMove(NativeRange From, NativeRange To, SliceSums? Sums,
    bool SumAcross = false)
{
    /// <summary>The word that must be <see cref="Generation"/> after the last byte; 0: there is none.</summary>
    public nint Word { get; init; }

    /// <summary>What the word must be.</summary>
    public ulong Generation { get; init; }

    /// <summary>Held until nothing touches either end any more; null: nothing is.</summary>
    public IHeldForMove? Held { get; init; }
}

/// <summary>What a move keeps in place.</summary>
internal interface IHeldForMove
{
    /// <summary>The move has ended; called once.</summary>
    void Release();
}

/// <summary>
/// Threads that wait for devices, a few for each: what stands still at one is waited for by nobody else. Thread-safe.
/// </summary>
internal sealed class DeviceQueues(TimeProvider time) : IAsyncDisposable
{
    /// <summary>Most threads that wait for one device.</summary>
    public const int Threads = 4;

    /// <summary>Most moves that wait for a thread of one device.</summary>
    public const int MostWaiting = 4096;

    private static readonly JobQueueBounds Bounds = new(Threads, MostWaiting, TimeSpan.FromSeconds(10));

    private readonly Dictionary<string, JobQueue<DeviceJob>> _queues = new(StringComparer.Ordinal);
    private bool _closed;

    /// <summary>Moves bytes of which at least one end is a device's.</summary>
    /// <returns>
    /// As <see cref="DeviceMoves.Run"/>; Stale where the word is another one; Unreachable when too many wait. Nothing
    /// touches either end any more.
    /// </returns>
    public Task<TransferOutcome> RunAsync(in DeviceMove move, TimeSpan timeout, CancellationToken cancel)
    {
        var job = new DeviceJob(move, time, timeout);
        if ((move.From.Device ?? move.To.Device) is not { } device)
        {
            // Of no bytes none are a device's.
            var outcome = job.Run();
            move.Held?.Release();
            return Outcomes.Of(outcome);
        }

        if (QueueOf(device) is { } queue && queue.TryAdd(job))
            return job.EndAsync(timeout, time, cancel);
        move.Held?.Release();
        return Outcomes.Unreachable;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        JobQueue<DeviceJob>[] queues;
        lock (_queues)
        {
            _closed = true;
            queues = [.. _queues.Values];
            _queues.Clear();
        }

        foreach (var queue in queues)
            await queue.DisposeAsync();
    }

    private JobQueue<DeviceJob>? QueueOf(DeviceBuffer device)
    {
        lock (_queues)
        {
            if (_closed)
                return null;
            if (!_queues.TryGetValue(device.Location, out var queue))
            {
                queue = new JobQueue<DeviceJob>("mesh-device", Bounds, time, static () => new DeviceWorker());
                _queues.Add(device.Location, queue);
            }

            return queue;
        }
    }
}

/// <summary>A move on its way through a thread of <see cref="DeviceQueues"/>.</summary>
internal sealed unsafe class DeviceJob(in DeviceMove move, TimeProvider time, TimeSpan timeout) : TransferJob, IMoveStop
{
    private readonly DeviceMove _move = move;
    private readonly long _start = time.GetTimestamp();

    /// <summary>Moves; the word, where there is one, is looked at after the last byte (rule A1).</summary>
    public TransferOutcome Run()
    {
        var left = time.LeftOf(timeout, _start);
        var outcome = _move.To.Length == 0 && _move.From.Length > 0
            ? DeviceMoves.Sum(_move.From, _move.Sums!, left, this)
            : DeviceMoves.Run(_move.From, _move.To, _move.Sums, _move.SumAcross, left, this);
        return outcome == TransferOutcome.Done && _move.Word != 0
            ? Shm.ShmMapping.Verify((ulong*)_move.Word, _move.Generation)
            : outcome;
    }

    protected override void Release() => _move.Held?.Release();
}

/// <summary>One thread of a device.</summary>
internal sealed class DeviceWorker : IJobWorker<DeviceJob>, IStoppable
{
    /// <inheritdoc/>
    public bool TryPrepare(CancellationToken closing) => true;

    /// <inheritdoc/>
    public bool TryRun(DeviceJob job, bool lastTry)
    {
        if (job.TryBegin(this))
            job.Finish(job.Run());
        return true;
    }

    /// <summary>A move looks itself whether it was stopped, chunk by chunk.</summary>
    public void Stop()
    {
    }

    /// <summary>What runs ends by its own time.</summary>
    public void Cut()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
