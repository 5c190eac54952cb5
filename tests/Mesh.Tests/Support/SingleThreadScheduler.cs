// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Tests.Support;

/// <summary>Runs tasks in order of their queueing, one at a time, only while somebody pumps.</summary>
public sealed class SingleThreadScheduler : TaskScheduler
{
    private const int MaxSteps = 5_000_000;
    private readonly Queue<Task> _ready = new();

    public override int MaximumConcurrencyLevel => 1;

    /// <summary>Whether nothing is ready.</summary>
    public bool IsIdle
    {
        get
        {
            lock (_ready)
                return _ready.Count == 0;
        }
    }

    /// <summary>Runs all ready work and all that it makes ready.</summary>
    public void Pump()
    {
        // A test framework's context would take the continuations to other threads.
        var context = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(null);
        try
        {
            for (int step = 0; step < MaxSteps; step++)
            {
                Task? next;
                lock (_ready)
                {
                    if (!_ready.TryDequeue(out next))
                        return;
                }

                TryExecuteTask(next);
            }
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(context);
        }

        throw new InvalidOperationException($"still work after {MaxSteps} steps: a loop without a wait");
    }

    protected override void QueueTask(Task task)
    {
        lock (_ready)
            _ready.Enqueue(task);
    }

    // Never inline: the order of the queue is the order of execution.
    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

    protected override IEnumerable<Task> GetScheduledTasks()
    {
        lock (_ready)
            return [.. _ready];
    }
}
