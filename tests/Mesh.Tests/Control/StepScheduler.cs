// SPDX-License-Identifier: Apache-2.0

using System.Collections.Concurrent;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>Runs its tasks when it is told to.</summary>
internal sealed class StepScheduler : TaskScheduler
{
    private readonly ConcurrentQueue<Task> _tasks = new();

    public int Waiting => _tasks.Count;

    public void Run()
    {
        while (_tasks.TryDequeue(out var task))
            TryExecuteTask(task);
    }

    public async Task RunUntilAsync(Task end)
    {
        while (!end.IsCompleted)
        {
            Run();
            await Task.Yield();
        }
    }

    protected override void QueueTask(Task task) => _tasks.Enqueue(task);

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

    protected override IEnumerable<Task> GetScheduledTasks() => _tasks;
}
