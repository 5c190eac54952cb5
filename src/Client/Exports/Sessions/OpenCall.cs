// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Exports.Guest;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>
/// A call that is waited for in slices, so that the host's thread comes back to the host between them. At most one a
/// thread is pending; the host keeps the memory it gave until the call has ended.
/// </summary>
internal abstract class OpenCall
{
    [ThreadStatic]
    private static OpenCall? _pending;

    private readonly Task _task;
    private TaskWait _wait;

    private OpenCall(Task task)
    {
        _task = task;
        _wait = new TaskWait(task);
    }

    /// <summary>Starts a call and waits for its first slice.</summary>
    /// <param name="session">The session, which the call is counted in until it ends.</param>
    /// <param name="start">Starts it.</param>
    /// <param name="finish">What to return, from its result.</param>
    /// <param name="stop">Cancelled when the session is closed.</param>
    /// <param name="slice">Milliseconds until it is pending; 0: never.</param>
    public static long Begin<T>(Session session, Func<CancellationToken, Task<T>> start, Func<T, long> finish,
        CancellationToken stop, int slice)
    {
        if (_pending is not null)
        {
            return Door.Fail(ErrorCodes.UnavailableInCurrentStatus,
                "this thread has a pending call: wait for it or cancel it first");
        }

        var cancel = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var call = new Of<T>(start(cancel.Token), finish, cancel);
        if (call.Ends(slice))
            return call.Finish();
        // The session outlives the call even when the thread that began it never comes back.
        _ = session.TryEnter();
        _ = call._task.ContinueWith(static (_, state) => ((Session)state!).Leave(), session, CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _pending = call;
        return Door.Fail(ErrorCodes.Pending, "the call goes on");
    }

    /// <summary>Waits for the thread's pending call for so long; Pending again, or what it returns.</summary>
    public static long Continue(int milliseconds)
    {
        if (_pending is not { } call)
            return Door.Fail(ErrorCodes.InvalidParams, "this thread has no pending call");
        if (!call.Ends(milliseconds))
            return ErrorCodes.Pending;
        _pending = null;
        return call.Finish();
    }

    /// <summary>Gives the thread's pending call up, and waits until nothing touches the caller's memory.</summary>
    public static long Cancel()
    {
        if (_pending is not { } call)
            return Door.Fail(ErrorCodes.InvalidParams, "this thread has no pending call");
        _pending = null;
        call.Stop();
        _ = call.Ends(0);
        return call.Finish();
    }

    /// <summary>What the function returns; the task has ended.</summary>
    private protected abstract long Finish();

    private protected abstract void Stop();

    /// <summary>Whether the task ended in time; without a limit (0) it does, given up when the host wants it.</summary>
    private bool Ends(int milliseconds)
    {
        bool stopped = false;
        int left = milliseconds;
        while (true)
        {
            int step = Interrupt.IsSet && !stopped ? Interrupt.PollMilliseconds : Timeout.Infinite;
            if (milliseconds > 0)
                step = step == Timeout.Infinite ? left : Math.Min(step, left);
            if (_wait.Ends(TimeSpan.FromMilliseconds(step), TimeProvider.System))
                return true;
            if (!stopped && Interrupt.IsWanted())
            {
                Stop();
                // It ends soon now, and its caller wants the end.
                stopped = true;
                milliseconds = 0;
                continue;
            }

            left -= step;
            if (milliseconds > 0 && left <= 0)
                return false;
        }
    }

    private sealed class Of<T>(Task<T> task, Func<T, long> finish, CancellationTokenSource cancel) : OpenCall(task)
    {
        private protected override long Finish()
        {
            cancel.Dispose();
            return finish(task.GetAwaiter().GetResult());
        }

        private protected override void Stop() => cancel.Cancel();
    }
}
