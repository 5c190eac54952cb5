// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer;

/// <summary>
/// One transfer on its way through a worker thread. Its task ends once, and never while the thread that took it can
/// still touch the caller's memory (rule A4): a stop ends a waiting job at once, and a running one through its thread.
/// Thread-safe.
/// </summary>
internal abstract class TransferJob
{
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(24);
    private static readonly TimerCallback OnDeadline = static job => ((TransferJob)job!).Stop();
    private static readonly TimerCallback OnPatience = static job => ((TransferJob)job!).GiveUpIfWaiting();
    private static readonly Action<object?> OnCancel = static job => ((TransferJob)job!).Stop();

    private readonly Lock _gate = new();
    private readonly TaskCompletionSource<TransferOutcome> _ended =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IStoppable? _running;
    private volatile bool _stopped;
    private bool _givenUp;
    private bool _finished;

    /// <summary>Whether the deadline has passed or the caller has cancelled.</summary>
    public bool IsStopped => _stopped;

    /// <summary>
    /// Waits for the end; stops the job at its deadline or when cancelled. One that no worker has begun within
    /// <paramref name="patience"/> ends as unreachable.
    /// </summary>
    public async Task<TransferOutcome> EndAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancel,
        TimeSpan? patience = null)
    {
        if (timeout > LongestTimer)
            timeout = LongestTimer;
        using var timer = time.CreateTimer(OnDeadline, this, timeout > TimeSpan.Zero ? timeout : TimeSpan.Zero,
            Timeout.InfiniteTimeSpan);
        using var waiting = patience < timeout
            ? time.CreateTimer(OnPatience, this, patience.Value, Timeout.InfiniteTimeSpan)
            : null;
        using var registration = cancel.UnsafeRegister(OnCancel, this);
        return await _ended.Task;
    }

    /// <summary>A worker starts on the job; <paramref name="stoppable"/> is what a stop has to break.</summary>
    /// <returns>False when the job has ended, or is about to: nothing of the caller may be touched.</returns>
    public bool TryBegin(IStoppable stoppable)
    {
        lock (_gate)
        {
            if (_finished || _stopped)
                return false;
            _running = stoppable;
            return true;
        }
    }

    /// <summary>The worker has let go without having done anything; the job waits again.</summary>
    /// <returns>False when it was stopped meanwhile, and has ended by this call.</returns>
    public bool TryWaitAgain()
    {
        lock (_gate)
        {
            _running = null;
            if (!_stopped)
                return true;
        }

        Finish(TransferOutcome.Late);
        return false;
    }

    /// <summary>Ends the job. Its worker has let go of the caller's memory.</summary>
    public void Finish(TransferOutcome outcome)
    {
        lock (_gate)
        {
            if (_finished)
                return;
            _finished = true;
            _running = null;
        }

        // A connection that broke because of the stop says nothing about the holder.
        if (_stopped && outcome == TransferOutcome.Unreachable)
            outcome = _givenUp ? TransferOutcome.Unreachable : TransferOutcome.Late;
        Release();
        _ended.SetResult(outcome);
    }

    /// <summary>Lets go of what the job holds; called once, at its end.</summary>
    protected virtual void Release()
    {
    }

    private void GiveUpIfWaiting()
    {
        lock (_gate)
        {
            if (_finished || _stopped || _running is not null)
                return;
            _stopped = true;
            _givenUp = true;
        }

        Finish(TransferOutcome.Unreachable);
    }

    /// <summary>Ends the job when it waits, and breaks it when it runs: its worker then ends it soon.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            if (_finished)
                return;
            _stopped = true;
            if (_running is not null)
            {
                // Under the lock, so that the job that comes next on this connection is not cut instead.
                _running.Stop();
                return;
            }
        }

        Finish(TransferOutcome.Late);
    }
}

/// <summary>What a running job blocks on.</summary>
internal interface IStoppable
{
    /// <summary>Makes the worker's thread come back soon; does not wait for it.</summary>
    void Stop();
}
