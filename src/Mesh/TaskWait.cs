// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh;

/// <summary>
/// A thread of the host's that waits for a task, by its <see cref="ThreadSignal"/>: of a task that the runtime itself
/// waits for something stays behind for good. One thread; not to be copied.
/// </summary>
/// <param name="task">The task.</param>
internal struct TaskWait(Task task)
{
    /// <summary>As many as the runtime spins for a task before it has the thread sleep.</summary>
    private const int Spins = 35;

    private bool _isAwaited;

    /// <summary>Waits for the end of a task; what it threw is thrown.</summary>
    public static T ResultOf<T>(Task<T> task)
    {
        _ = new TaskWait(task).Ends(Timeout.InfiniteTimeSpan, TimeProvider.System);
        return task.GetAwaiter().GetResult();
    }

    /// <summary>
    /// Whether the task ended in time, well or not: what it threw comes where its result is taken. May be asked again.
    /// </summary>
    /// <param name="limit">How long it waits.</param>
    /// <param name="time">Clock.</param>
    public bool Ends(TimeSpan limit, TimeProvider time)
    {
        var spin = default(SpinWait);
        for (int i = 0; i < Spins && !task.IsCompleted; i++)
            spin.SpinOnce(sleep1Threshold: -1);
        if (task.IsCompleted)
            return true;
        var signal = ThreadSignal.Own;
        if (!_isAwaited)
        {
            _isAwaited = true;
            // Whoever ends the task wakes the thread: no step through a scheduler.
            _ = task.ContinueWith(static (_, set) => ((Action)set!)(), signal.Set, CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        long start = time.GetTimestamp();
        while (!task.IsCompleted)
        {
            var left = time.LeftOf(limit, start);
            if (left != Timeout.InfiniteTimeSpan && left <= TimeSpan.Zero)
                return false;
            signal.Wait(left);
        }

        return true;
    }
}
