// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh;

/// <summary>
/// Waiting for a task with a limit, so that every step runs on the waiter's scheduler. Task.WaitAsync does not: when
/// the task's source runs continuations asynchronously, it takes one step on the thread pool, and a simulation from one
/// seed would no longer repeat.
/// </summary>
internal static class Waits
{
    /// <summary>Whether <paramref name="task"/> ended within <paramref name="limit"/>; false: not yet.</summary>
    /// <exception cref="OperationCanceledException">Cancelled before either.</exception>
    public static async Task<bool> EndsWithinAsync(this Task task, TimeSpan limit, TimeProvider time,
        CancellationToken cancel)
    {
        if (task.IsCompleted)
            return true;
        cancel.ThrowIfCancellationRequested();
        if (limit <= TimeSpan.Zero && limit != Timeout.InfiniteTimeSpan)
            return false;
        // Whoever ends the wait goes on with the waiter: one step through the scheduler less. Not so a canceller, who
        // must not find itself in the midst of our work.
        var source = new TaskCompletionSource<bool>();
        var scheduler = TaskScheduler.Current;
        _ = task.ContinueWith(static (_, state) => ((TaskCompletionSource<bool>)state!).TrySetResult(true), source,
            CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, scheduler);
        using var timer = limit == Timeout.InfiniteTimeSpan
            ? null
            : time.CreateTimer(static state => ((TaskCompletionSource<bool>)state!).TrySetResult(false), source, limit,
                Timeout.InfiniteTimeSpan);
        using var registration = cancel.UnsafeRegister(static state =>
        {
            var (cancelled, scheduler) = ((TaskCompletionSource<bool>, TaskScheduler))state!;
            _ = Task.Factory.StartNew(static source => ((TaskCompletionSource<bool>)source!).TrySetCanceled(),
                cancelled, CancellationToken.None, TaskCreationOptions.DenyChildAttach, scheduler);
        }, cancel.CanBeCanceled ? (source, scheduler) : null);
        return await source.Task;
    }

    /// <summary>
    /// The task, or one that ends with it, for Task.Unwrap: that takes a step on the thread pool when the task's source
    /// runs continuations asynchronously.
    /// </summary>
    public static Task Unwrappable(this Task task) => PassesThroughPool(task) ? EndAsync(task) : task;

    /// <inheritdoc cref="Unwrappable(Task)"/>
    public static Task<T> Unwrappable<T>(this Task<T> task) => PassesThroughPool(task) ? EndAsync(task) : task;

    /// <summary>Ends when <paramref name="task"/> does; its own failure is thrown.</summary>
    /// <exception cref="OperationCanceledException">Cancelled before it ended.</exception>
    public static async Task OrCancelAsync(this Task task, CancellationToken cancel)
    {
        await task.EndsWithinAsync(Timeout.InfiniteTimeSpan, TimeProvider.System, cancel);
        await task;
    }

    private static bool PassesThroughPool(Task task) =>
        (task.CreationOptions & TaskCreationOptions.RunContinuationsAsynchronously) != 0;

    private static async Task EndAsync(Task task) => await task;

    private static async Task<T> EndAsync<T>(Task<T> task) => await task;
}
