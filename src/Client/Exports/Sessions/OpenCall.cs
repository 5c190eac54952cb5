// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Diagnostics;
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

    /// <summary>As many as the runtime spins for a task before it has the thread sleep.</summary>
    private const int Spins = 35;

    private bool _isAwaited;

    private protected abstract Task Task { get; }

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
        _ = call.Task.ContinueWith(static (_, state) => ((Session)state!).Leave(), session, CancellationToken.None,
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
            if (Waited(step))
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

    /// <summary>Whether the task ended in time, well or not: what it threw comes where its result is taken.</summary>
    private bool Waited(int milliseconds)
    {
        var spin = default(SpinWait);
        for (int i = 0; i < Spins && !Task.IsCompleted; i++)
            spin.SpinOnce(sleep1Threshold: -1);
        var signal = ThreadSignal.Own;
        if (!Task.IsCompleted && !_isAwaited)
        {
            _isAwaited = true;
            // Of the thread that waits for it: a pending call stays its thread's.
            Task.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(signal.Set);
        }

        long start = Stopwatch.GetTimestamp();
        while (!Task.IsCompleted)
        {
            var left = milliseconds == Timeout.Infinite
                ? Timeout.InfiniteTimeSpan
                : TimeSpan.FromMilliseconds(milliseconds) - Stopwatch.GetElapsedTime(start);
            if (left != Timeout.InfiniteTimeSpan && left <= TimeSpan.Zero)
                return false;
            signal.Wait(left);
        }

        return true;
    }

    private sealed class Of<T>(Task<T> task, Func<T, long> finish, CancellationTokenSource cancel) : OpenCall
    {
        private protected override Task Task => task;

        private protected override long Finish()
        {
            cancel.Dispose();
            return finish(task.GetAwaiter().GetResult());
        }

        private protected override void Stop() => cancel.Cancel();
    }
}
