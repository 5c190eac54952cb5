// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer;

/// <summary>What one thread of a <see cref="JobQueue{TJob}"/> works with; used by that thread alone.</summary>
internal interface IJobWorker<in TJob> : IDisposable
{
    /// <summary>Gets ready for the next job, so that a job in the queue can still end by its deadline.</summary>
    /// <returns>False when that is impossible now: the jobs that wait are unreachable.</returns>
    bool TryPrepare(CancellationToken closing);

    /// <summary>Does a job and ends it.</summary>
    /// <returns>False when it has done nothing and the job is to be tried once more.</returns>
    bool TryRun(TJob job, bool lastTry);

    /// <summary>Cuts the job that runs now; called from another thread, when the queue closes.</summary>
    void Cut();
}

/// <summary>Bounds of a <see cref="JobQueue{TJob}"/>.</summary>
/// <param name="Threads">Most threads.</param>
/// <param name="Waiting">Most jobs that wait.</param>
/// <param name="Idle">How long a thread waits for a job before it ends.</param>
internal readonly record struct JobQueueBounds(int Threads, int Waiting, TimeSpan Idle);

/// <summary>
/// Jobs, and a few threads of their own that do them: blocking work off the thread pool. Threads start when jobs wait,
/// and end when there was nothing to do for a while. Thread-safe.
/// </summary>
internal sealed class JobQueue<TJob> : IAsyncDisposable
    where TJob : TransferJob
{
    private const int StackBytes = 256 * 1024;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();
    private readonly Queue<TJob> _waiting = new();
    private readonly HashSet<IJobWorker<TJob>> _workers = [];
    private readonly CancellationTokenSource _closing = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly string _name;
    private readonly JobQueueBounds _bounds;
    private readonly TimeProvider _time;
    private readonly Func<IJobWorker<TJob>> _newWorker;
    private TimeSpan _pause;
    private long _failedAt;
    private ThreadSignals _sleeping;
    private int _idle;
    private bool _closed;

    /// <param name="name">Name of the threads, at most 15 characters.</param>
    /// <param name="bounds">How many threads and jobs.</param>
    /// <param name="time">Clock for the pause after a worker could not get ready.</param>
    /// <param name="newWorker">Makes what a new thread works with.</param>
    public JobQueue(string name, JobQueueBounds bounds, TimeProvider time, Func<IJobWorker<TJob>> newWorker)
    {
        _name = name;
        _bounds = bounds;
        _time = time;
        _newWorker = newWorker;
    }

    /// <summary>Whether the queue takes no more jobs and its threads are gone.</summary>
    public bool HasEnded
    {
        get
        {
            lock (_gate)
                return _closed && _workers.Count == 0;
        }
    }

    /// <summary>Puts a job in the queue.</summary>
    /// <returns>False when the queue is full, closed, or pauses because no worker could get ready.</returns>
    public bool TryAdd(TJob job)
    {
        ThreadSignal? woken;
        lock (_gate)
        {
            bool pausing = _pause > TimeSpan.Zero && _time.GetElapsedTime(_failedAt) < _pause;
            if (_closed || _waiting.Count >= _bounds.Waiting || (pausing && _workers.Count == 0))
                return false;
            _waiting.Enqueue(job);
            woken = _sleeping.TakeOne();
            if (_waiting.Count > _idle && _workers.Count < _bounds.Threads && !pausing)
                StartThread();
        }

        woken?.Set();
        return true;
    }

    /// <summary>Takes no more jobs; what waits is still done, then the threads end.</summary>
    public void Retire()
    {
        lock (_gate)
        {
            _closed = true;
            _sleeping.SetAll();
        }
    }

    /// <summary>Cuts what runs, ends what waits as unreachable, and waits for the threads.</summary>
    public async ValueTask DisposeAsync()
    {
        TJob[] left;
        lock (_gate)
        {
            _closed = true;
            left = [.. _waiting];
            _waiting.Clear();
            foreach (var worker in _workers)
                worker.Cut();
            if (_workers.Count == 0)
                _ended.TrySetResult();
            _sleeping.SetAll();
        }

        await _closing.CancelAsync();
        foreach (var job in left)
            job.Finish(TransferOutcome.Unreachable);
        await _ended.Task;
    }

    private void StartThread()
    {
        var worker = _newWorker();
        _workers.Add(worker);
        new Thread(Work, StackBytes) { IsBackground = true, Name = _name }.Start(worker);
    }

    private void Work(object? state)
    {
        var worker = (IJobWorker<TJob>)state!;
        bool ready = true;
        while (ready && WaitForJob())
        {
            ready = worker.TryPrepare(_closing.Token);
            if (ready && TryTake() is { } job)
                ready = Do(worker, job);
        }

        Leave(worker, failed: !ready);
    }

    private bool Do(IJobWorker<TJob> worker, TJob job)
    {
        if (_pause > TimeSpan.Zero)
            Prepared();
        if (worker.TryRun(job, lastTry: false))
            return true;
        if (!job.TryWaitAgain())
            return true;
        if (worker.TryPrepare(_closing.Token))
        {
            worker.TryRun(job, lastTry: true);
            return true;
        }

        job.Finish(TransferOutcome.Unreachable);
        return false;
    }

    /// <summary>Waits for a job, without taking it.</summary>
    private bool WaitForJob()
    {
        var signal = ThreadSignal.Own;
        long since = _time.GetTimestamp();
        while (true)
        {
            lock (_gate)
            {
                if (_waiting.Count > 0)
                    return true;
                if (_closed || _time.GetElapsedTime(since) >= _bounds.Idle)
                    return false;
                _sleeping.Add(signal);
                _idle++;
            }

            signal.Wait(_bounds.Idle);
            lock (_gate)
            {
                _sleeping.Remove(signal);
                _idle--;
            }
        }
    }

    private TJob? TryTake()
    {
        lock (_gate)
            return _waiting.TryDequeue(out var job) ? job : null;
    }

    private void Prepared()
    {
        lock (_gate)
            _pause = TimeSpan.Zero;
    }

    private void Leave(IJobWorker<TJob> worker, bool failed)
    {
        worker.Dispose();
        TJob[] left = [];
        lock (_gate)
        {
            _workers.Remove(worker);
            if (failed)
            {
                _pause = _pause == TimeSpan.Zero ? FirstPause : _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
                _failedAt = _time.GetTimestamp();
                if (_workers.Count == 0)
                {
                    left = [.. _waiting];
                    _waiting.Clear();
                }

                _sleeping.SetAll();
            }
            else if (_workers.Count == 0 && _waiting.Count > 0)
            {
                // Came in between the end of the wait and now.
                StartThread();
            }

            if (_closed && _workers.Count == 0)
                _ended.TrySetResult();
        }

        foreach (var job in left)
            job.Finish(TransferOutcome.Unreachable);
    }
}
