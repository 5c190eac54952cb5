// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Engine.Batches;

/// <summary>
/// Requests that were submitted under one number. A task's state is final only when every byte of it is accounted for:
/// moved, refused, or given up with nothing under way. Thread-safe.
/// </summary>
/// <param name="id">Its number.</param>
/// <param name="size">Most requests.</param>
internal sealed class EngineBatch(ulong id, int size)
{
    private readonly Lock _gate = new();
    private readonly BatchTask[] _tasks = new BatchTask[size];
    private List<BatchNotify>? _notifies;
    private TaskCompletionSource? _ended;
    private int _count;
    private int _open;
    private ThreadSignals _waiting;

    /// <summary>Its number.</summary>
    public ulong Id => id;

    /// <summary>Requests submitted so far.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Whether every task is final.</summary>
    public bool IsOver => Volatile.Read(ref _open) == 0;

    /// <summary>Makes tasks for requests.</summary>
    /// <param name="requests">The requests, all of which can be.</param>
    /// <param name="notify">What is sent once all of them are completed, or null.</param>
    /// <returns>The number of the first, or -1: the batch has no room for them.</returns>
    public int Begin(ReadOnlySpan<TransferRequest> requests, BatchNotify? notify)
    {
        lock (_gate)
        {
            if (requests.Length > size - _count)
                return -1;
            int first = _count;
            for (int i = 0; i < requests.Length; i++)
            {
                _tasks[first + i].Left = (long)requests[i].Length;
                _tasks[first + i].State = TransferState.Waiting;
            }

            if (notify is not null)
            {
                notify.First = first;
                notify.Count = notify.Left = requests.Length;
                (_notifies ??= []).Add(notify);
            }

            _open += requests.Length;
            Volatile.Write(ref _count, first + requests.Length);
            return first;
        }
    }

    /// <summary>Whether a task has failed already: what is left of it need not be moved.</summary>
    public bool HasFailed(int task) => Volatile.Read(ref _tasks[task].Failure) != 0;

    /// <summary>A part of a task is given to a thread.</summary>
    public void Started(int task)
    {
        if (_tasks[task].State == TransferState.Waiting)
            _tasks[task].State = TransferState.Pending;
    }

    /// <summary>Bytes of a task are accounted for: nothing touches their memory for it any more.</summary>
    public void Ended(int task, long bytes, EntryStatus status)
    {
        ref var entry = ref _tasks[task];
        if (status == EntryStatus.Done)
            Interlocked.Add(ref entry.Moved, bytes);
        else
            Interlocked.CompareExchange(ref entry.Failure, (int)status, 0);
        if (Interlocked.Add(ref entry.Left, -bytes) == 0)
            Finish(task);
    }

    /// <summary>How a task stands.</summary>
    public TransferStatus StatusOf(int task)
    {
        ref var entry = ref _tasks[task];
        return new TransferStatus((TransferState)Volatile.Read(ref entry.FinalOrNot),
            (ulong)Interlocked.Read(ref entry.Moved));
    }

    /// <summary>Why a task has failed, or null.</summary>
    public EntryStatus? FailureOf(int task) =>
        Volatile.Read(ref _tasks[task].Failure) is var failure and not 0 ? (EntryStatus)failure : null;

    /// <summary>How the tasks stand together: pending, or the worst of the final states.</summary>
    public TransferStatus Status()
    {
        ulong moved = 0;
        var worst = TransferState.Completed;
        int count = Count;
        for (int i = 0; i < count; i++)
        {
            var status = StatusOf(i);
            moved += status.TransferredBytes;
            if (!status.IsFinal)
                worst = TransferState.Pending;
            else if (worst != TransferState.Pending && status.State != TransferState.Completed)
                worst = status.State;
        }

        return new TransferStatus(worst, moved);
    }

    /// <summary>Waits until every task is final; false: not in that time.</summary>
    public bool Wait(TimeSpan limit, TimeProvider time)
    {
        long start = time.GetTimestamp();
        var signal = ThreadSignal.Own;
        while (true)
        {
            var left = time.LeftOf(limit, start);
            lock (_gate)
            {
                _waiting.Remove(signal);
                if (IsOver || left <= TimeSpan.Zero)
                    return IsOver;
                _waiting.Add(signal);
            }

            signal.Wait(left);
        }
    }

    /// <summary>Ends when every task is final.</summary>
    public Task WhenOver()
    {
        lock (_gate)
        {
            if (IsOver)
                return Task.CompletedTask;
            _ended ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _ended.Task;
        }
    }

    /// <summary>The message of a notify has been taken by its target, or not.</summary>
    public void Notified(BatchNotify notify, EntryStatus status)
    {
        if (status != EntryStatus.Done)
            Interlocked.CompareExchange(ref _tasks[notify.LastTask].Failure, (int)status, 0);
        Close(notify.LastTask);
    }

    private void Finish(int task)
    {
        if (_notifies is not null && NotifyOf(task) is { } notify)
        {
            if (_tasks[task].Failure != 0)
                notify.HasFailed = true;
            if (Interlocked.Decrement(ref notify.Left) == 0 && !notify.HasFailed)
            {
                notify.LastTask = task;
                notify.Send(this, notify);
                return;
            }
        }

        Close(task);
    }

    private BatchNotify? NotifyOf(int task)
    {
        lock (_gate)
        {
            foreach (var notify in _notifies!)
            {
                if (task >= notify.First && task < notify.First + notify.Count)
                    return notify;
            }

            return null;
        }
    }

    private void Close(int task)
    {
        ref var entry = ref _tasks[task];
        Volatile.Write(ref entry.FinalOrNot, (int)StateOf((EntryStatus)entry.Failure));
        if (Interlocked.Decrement(ref _open) != 0)
            return;
        TaskCompletionSource? ended;
        ThreadSignal? woken;
        bool more;
        lock (_gate)
        {
            (woken, ended) = IsOver ? (_waiting.TakeOne(), _ended) : (null, null);
            more = woken is not null && _waiting.Any;
            if (ended is not null)
                _ended = null;
        }

        woken?.Set();
        if (more)
            WakeOthers();
        ended?.TrySetResult();
    }

    private void WakeOthers()
    {
        lock (_gate)
            _waiting.SetAll();
    }

    private static TransferState StateOf(EntryStatus failure) => failure switch
    {
        0 => TransferState.Completed,
        EntryStatus.Late => TransferState.Timeout,
        EntryStatus.Ended => TransferState.Canceled,
        _ => TransferState.Failed,
    };

    private struct BatchTask
    {
        /// <summary>Bytes not accounted for yet.</summary>
        public long Left;

        /// <summary>Bytes moved.</summary>
        public long Moved;

        /// <summary>The first <see cref="EntryStatus"/> that was not Done, or 0.</summary>
        public int Failure;

        /// <summary>A <see cref="TransferState"/>.</summary>
        public int FinalOrNot;

        /// <summary>The state, where no other thread changes it at the same time but to a final one.</summary>
        public TransferState State
        {
            readonly get => (TransferState)FinalOrNot;
            set => FinalOrNot = (int)value;
        }
    }
}

/// <summary>What is sent once some requests of a batch are completed.</summary>
/// <param name="message">The message.</param>
/// <param name="send">Sends it, and tells <see cref="EngineBatch.Notified"/>.</param>
internal sealed class BatchNotify(TransferNotify message, Action<EngineBatch, BatchNotify> send)
{
    /// <summary>Requests that are not over.</summary>
    public int Left;

    /// <summary>The message.</summary>
    public TransferNotify Message => message;

    /// <summary>Sends it.</summary>
    public Action<EngineBatch, BatchNotify> Send => send;

    /// <summary>Number of the first task.</summary>
    public int First { get; set; }

    /// <summary>Number of tasks.</summary>
    public int Count { get; set; }

    /// <summary>The task that is over only when the message is there.</summary>
    public int LastTask { get; set; }

    /// <summary>Whether one of the requests has failed: nothing is sent.</summary>
    public volatile bool HasFailed;
}
