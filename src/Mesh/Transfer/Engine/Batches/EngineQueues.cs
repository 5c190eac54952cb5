// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Transfer.Engine.Batches;

/// <summary>
/// Jobs that wait for threads: a queue of their own for those of each device, so that what stands still at one is
/// waited for by nobody else. Thread-safe.
/// </summary>
/// <param name="name">Name of the threads.</param>
/// <param name="bounds">How many threads and jobs, in each queue.</param>
/// <param name="time">Clock.</param>
/// <param name="newWorker">Makes what a new thread works with.</param>
internal sealed class EngineQueues(string name, JobQueueBounds bounds, TimeProvider time,
    Func<IJobWorker<EngineJob>> newWorker) : IAsyncDisposable
{
    private readonly JobQueue<EngineJob> _host = new(name, bounds, time, newWorker);
    private readonly Dictionary<RegionDevice, JobQueue<EngineJob>> _devices = [];
    private bool _closed;

    /// <summary>Puts a job in the queue of a device; null: in that of what waits for none.</summary>
    /// <returns>As <see cref="JobQueue{TJob}.TryAdd"/>.</returns>
    public bool TryAdd(EngineJob job, RegionDevice? device) => QueueOf(device) is { } queue && queue.TryAdd(job);

    /// <summary>Takes no more jobs; what waits is still done.</summary>
    public void Retire()
    {
        foreach (var queue in Close())
            queue.Retire();
    }

    /// <summary>Cuts what runs, and waits for the threads.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var queue in Close())
            await queue.DisposeAsync();
    }

    private JobQueue<EngineJob>? QueueOf(RegionDevice? device)
    {
        if (device is null)
            return _host;
        lock (_devices)
        {
            if (!_devices.TryGetValue(device, out var queue) && !_closed)
            {
                queue = new JobQueue<EngineJob>(name, bounds, time, newWorker);
                _devices.Add(device, queue);
            }

            return queue;
        }
    }

    private JobQueue<EngineJob>[] Close()
    {
        lock (_devices)
        {
            _closed = true;
            return [_host, .. _devices.Values];
        }
    }
}
