// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Tests.Support;

/// <summary>
/// A clock that stands still until told to advance; timers fire in order of their time, then of their making.
/// </summary>
public sealed class ManualTimeProvider : TimeProvider
{
    private static readonly DateTimeOffset Start = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly Lock _gate = new();
    private readonly SortedSet<ManualTimer> _timers = new(Comparer<ManualTimer>.Create(
        (a, b) => a.Due != b.Due ? a.Due.CompareTo(b.Due) : a.Order.CompareTo(b.Order)));
    private long _now;
    private long _order;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>When the next timer fires, from the clock's start; null: none is set.</summary>
    public TimeSpan? NextDue
    {
        get
        {
            lock (_gate)
                return _timers.Min is { } next ? TimeSpan.FromTicks(next.Due) : null;
        }
    }

    /// <summary>Time since the clock's start.</summary>
    public TimeSpan Elapsed => TimeSpan.FromTicks(GetTimestamp());

    /// <summary>How far the wall clock was set on, or back.</summary>
    public TimeSpan WallClockJump { get; set; }

    public override long GetTimestamp() => Interlocked.Read(ref _now);

    public override DateTimeOffset GetUtcNow() => Start + Elapsed + WallClockJump;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>
    /// Advances by <paramref name="by"/>; after each timer that fires <paramref name="afterEach"/> is called.
    /// </summary>
    public void Advance(TimeSpan by, Action? afterEach = null)
    {
        long end = GetTimestamp() + by.Ticks;
        while (true)
        {
            ManualTimer? next;
            lock (_gate)
            {
                next = _timers.Min;
                if (next is null || next.Due > end)
                    break;
                _timers.Remove(next);
                Interlocked.Exchange(ref _now, Math.Max(_now, next.Due));
                next.Armed = false;
                if (next.Period > 0)
                    Arm(next, next.Due + next.Period);
            }

            next.Fire();
            afterEach?.Invoke();
        }

        Interlocked.Exchange(ref _now, end);
    }

    private void Arm(ManualTimer timer, long due)
    {
        timer.Due = due;
        timer.Order = ++_order;
        timer.Armed = true;
        _timers.Add(timer);
    }

    private sealed class ManualTimer(ManualTimeProvider clock, TimerCallback callback, object? state) : ITimer
    {
        public long Due { get; set; }

        public long Order { get; set; }

        public long Period { get; private set; }

        public bool Armed { get; set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (clock._gate)
            {
                if (Armed)
                    clock._timers.Remove(this);
                Armed = false;
                Period = period == Timeout.InfiniteTimeSpan ? 0 : period.Ticks;
                if (dueTime != Timeout.InfiniteTimeSpan)
                    clock.Arm(this, clock.GetTimestamp() + dueTime.Ticks);
            }

            return true;
        }

        public void Dispose() => Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
