// SPDX-License-Identifier: Apache-2.0

// On the data path.
using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>
/// The calls of one connection that wait for their answer: at most <see cref="Wire.MaxOpenCalls"/>, each with a
/// deadline, all on one timer. Thread-safe.
/// </summary>
internal sealed class PendingCalls
{
    private static readonly MeshError Cancelled =
        new(MeshErrorCode.Cancelled, "channel", "the caller cancelled");

    private readonly Dictionary<ulong, PendingCall> _calls = [];
    private readonly TimeProvider _time;
    private readonly Action<PendingCall> _late;
    private ITimer? _timer;
    private long _timerDue = long.MaxValue;
    private ulong _lastId;
    private bool _closed;

    /// <param name="time">The clock of the deadlines.</param>
    /// <param name="late">Told of a call whose deadline has passed; it fails it.</param>
    public PendingCalls(TimeProvider time, Action<PendingCall> late)
    {
        _time = time;
        _late = late;
    }

    /// <summary>Notes a call; its id, or 0 with the error of a call that cannot be made.</summary>
    public ulong Add(PendingCall call, TimeSpan timeout, CancellationToken cancel, MeshError closed,
        out MeshError? error)
    {
        error = null;
        call.Asked = _time.GetTimestamp();
        call.Timeout = timeout;
        call.Due = call.Asked + (long)(Math.Max(0, timeout.TotalSeconds) * _time.TimestampFrequency);
        lock (_calls)
        {
            if (_closed)
            {
                error = closed;
                return 0;
            }

            if (_calls.Count >= Wire.MaxOpenCalls)
            {
                error = new MeshError(MeshErrorCode.Busy, "channel",
                    $"{_calls.Count} calls are open to this peer; the limit is {Wire.MaxOpenCalls}");
                return 0;
            }

            call.Id = ++_lastId;
            _calls.Add(call.Id, call);
            if (call.Due < _timerDue)
                Arm(call.Due, call.Asked);
        }

        if (cancel.CanBeCanceled)
        {
            call.Owner = this;
            call.Registration = cancel.UnsafeRegister(static state =>
            {
                var cancelled = (PendingCall)state!;
                if (cancelled.Owner!.Take(cancelled.Id) is not null)
                    cancelled.Fail(Cancelled);
            }, call);
        }

        return call.Id;
    }

    /// <summary>Whether a call is open; to be asked after a memory barrier.</summary>
    public bool Any => _calls.Count > 0;

    /// <summary>Takes a call out; null when it has ended.</summary>
    public PendingCall? Take(ulong id)
    {
        lock (_calls)
            return _calls.Remove(id, out var call) ? call : null;
    }

    /// <summary>Takes all calls out and admits no more.</summary>
    public PendingCall[] Close()
    {
        lock (_calls)
        {
            _closed = true;
            _timer?.Dispose();
            PendingCall[] open = [.. _calls.Values];
            _calls.Clear();
            return open;
        }
    }

    private void Arm(long due, long now)
    {
        _timerDue = due;
        double seconds = (due - now) / (double)_time.TimestampFrequency;
        // Rounded up: a timer counts in whole milliseconds, and one that comes early would have to come again.
        var wait = TimeSpan.FromMilliseconds(Math.Ceiling(Math.Max(0, seconds) * 1000));
        if (_timer is null)
        {
            _timer = _time.CreateTimer(static state => ((PendingCalls)state!).Sweep(), this, wait,
                Timeout.InfiniteTimeSpan);
        }
        else
        {
            _timer.Change(wait, Timeout.InfiniteTimeSpan);
        }
    }

    private void Sweep()
    {
        List<PendingCall>? late = null;
        lock (_calls)
        {
            if (_closed)
                return;
            long now = _time.GetTimestamp();
            long next = long.MaxValue;
            foreach (var call in _calls.Values)
            {
                if (call.Due <= now)
                    (late ??= []).Add(call);
                else
                    next = Math.Min(next, call.Due);
            }

            foreach (var call in late ?? [])
                _calls.Remove(call.Id);
            _timerDue = long.MaxValue;
            if (next != long.MaxValue)
                Arm(next, now);
        }

        foreach (var call in late ?? [])
            _late(call);
    }
}

/// <summary>A call that waits for its answer.</summary>
internal abstract class PendingCall
{
    /// <summary>Its number on this connection.</summary>
    public ulong Id { get; set; }

    /// <summary>When it was made, by the runtime's clock.</summary>
    public long Asked { get; set; }

    /// <summary>When it fails for want of an answer, by the runtime's clock.</summary>
    public long Due { get; set; }

    /// <summary>The time it was given.</summary>
    public TimeSpan Timeout { get; set; }

    /// <summary>Where it waits; set only when it can be cancelled.</summary>
    public PendingCalls? Owner { get; set; }

    /// <summary>The cancellation it listens to.</summary>
    public CancellationTokenRegistration Registration { get; set; }

    /// <summary>Ends it with what the peer sent.</summary>
    public abstract void Complete(bool failed, ref MessagePackReader reader);

    /// <summary>Ends it with an error.</summary>
    public abstract void Fail(MeshError error);
}

/// <summary>A call that waits for an answer of one type.</summary>
/// <param name="goOn">
/// Whether the caller goes on upon the reader loop itself, which saves a step through the scheduler: only for one that
/// never blocks, and leads to no code of a user's.
/// </param>
internal sealed class PendingCall<TAnswer>(bool goOn) : PendingCall
    where TAnswer : IWireMessage<TAnswer>
{
    private readonly TaskCompletionSource<MeshResult<TAnswer>> _source =
        new(goOn ? TaskCreationOptions.None : TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends with the answer or an error, never by an exception.</summary>
    public Task<MeshResult<TAnswer>> Task => _source.Task;

    /// <inheritdoc/>
    public override void Complete(bool failed, ref MessagePackReader reader)
    {
        Registration.Unregister();
        try
        {
            _source.TrySetResult(failed ? Failure.Read(ref reader).ToError() : TAnswer.Read(ref reader));
        }
        catch (Exception e)
        {
            Fail(new MeshError(MeshErrorCode.Protocol, "channel", "the answer cannot be read: " + e.Message));
            throw;
        }
    }

    /// <inheritdoc/>
    public override void Fail(MeshError error)
    {
        Registration.Unregister();
        _source.TrySetResult(error);
    }
}
