// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// Where a small call of a host goes on when its answer is there: upon the thread that received it, once that has
/// taken all that came and holds no lock. Elsewhere upon the pool, whose threads take longer to wake than such a step,
/// and then spin. For steps that never block, and lead to no code of a user's. Thread-safe. The thread that makes the
/// call looks for the answer itself first: see <see cref="Looker"/>.
/// </summary>
internal sealed class ReceiverScheduler : TaskScheduler
{
    /// <summary>What the calling thread has to do yet; null: it is none that receives.</summary>
    [ThreadStatic]
    private static Queue<Task>? _steps;

    private ReceiverScheduler()
    {
    }

    /// <summary>The one of this process.</summary>
    public static ReceiverScheduler Instance { get; } = new();

    /// <summary>
    /// The calling thread receives, and calls <see cref="TakeSteps"/> before it waits or, with none, stops to.
    /// </summary>
    public static void Adopt(Queue<Task>? steps) => _steps = steps;

    /// <summary>Takes the steps that the calling thread has brought about.</summary>
    public static void TakeSteps()
    {
        while (_steps is { } steps && steps.TryDequeue(out var step))
            _ = Instance.TryExecuteTask(step);
    }

    /// <summary>
    /// Starts a call on the calling thread, which looks for its answer for a little while; what comes after its first
    /// wait goes on here. The call may not have ended.
    /// </summary>
    public static Task<T> Start<T>(Func<CancellationToken, Task<T>> call, CancellationToken cancel)
    {
        if (_steps is not null)
            return Begin(call, cancel);
        var looker = Looker.Begin();
        try
        {
            var begun = Begin(call, cancel);
            looker.Look(begun);
            return begun;
        }
        finally
        {
            looker.End();
        }
    }

    private static Task<T> Begin<T>(Func<CancellationToken, Task<T>> call, CancellationToken cancel)
    {
        var begun = new Task<Task<T>>(() => call(cancel));
        begun.RunSynchronously(Instance);
        return begun.GetAwaiter().GetResult();
    }

    /// <inheritdoc/>
    protected override void QueueTask(Task task)
    {
        if (_steps is { } steps)
            steps.Enqueue(task);
        else
            ThreadPool.UnsafeQueueUserWorkItem(static step => Instance.TryExecuteTask(step), task, preferLocal: true);
    }

    /// <inheritdoc/>
    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) =>
        !taskWasPreviouslyQueued && TryExecuteTask(task);

    /// <inheritdoc/>
    protected override IEnumerable<Task> GetScheduledTasks() => [];
}
