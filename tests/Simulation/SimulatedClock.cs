// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// The time of a simulated world: stands still while anything is ready to run, then jumps to the next thing that is
/// due. Things due at one moment happen in the order in which they were asked for. One thread.
/// </summary>
internal sealed class SimulatedClock
{
    private readonly PriorityQueue<(Due Due, long Turn), Moment> _due = new();
    private long _order;

    /// <summary>Ticks since the world began.</summary>
    public long Now { get; private set; }

    /// <summary>Microseconds since the world began.</summary>
    public long Microseconds => Now / TimeSpan.TicksPerMicrosecond;

    /// <summary>Has <paramref name="action"/> done after <paramref name="delay"/>.</summary>
    public void After(TimeSpan delay, Action action) => Set(new DueAction(action), delay);

    /// <summary>
    /// Has <paramref name="due"/> run after <paramref name="delay"/>, and not when it was due before.
    /// </summary>
    public void Set(Due due, TimeSpan delay) =>
        _due.Enqueue((due, ++due.Turn), new Moment(Now + Math.Max(0, delay.Ticks), ++_order));

    /// <summary>Does the next thing that is due, if it is so by <paramref name="limit"/>.</summary>
    /// <returns>False when nothing is; the time is then <paramref name="limit"/>.</returns>
    public bool Step(long limit)
    {
        while (_due.TryPeek(out var next, out var when))
        {
            if (next.Turn != next.Due.Turn)
            {
                _due.Dequeue();
                continue;
            }

            if (when.At > limit)
                break;
            _due.Dequeue();
            Now = when.At;
            next.Due.Turn++;
            next.Due.Run();
            return true;
        }

        Now = Math.Max(Now, limit);
        return false;
    }

    /// <summary>Something to be done at its time, unless it is cancelled or set anew before.</summary>
    public abstract class Due
    {
        /// <summary>How often it was set, cancelled and run: what was asked for in an earlier turn is void.</summary>
        public long Turn { get; set; }

        public void Cancel() => Turn++;

        public abstract void Run();
    }

    private sealed class DueAction(Action action) : Due
    {
        public override void Run() => action();
    }

    private readonly record struct Moment(long At, long Order) : IComparable<Moment>
    {
        public int CompareTo(Moment other) =>
            At != other.At ? At.CompareTo(other.At) : Order.CompareTo(other.Order);
    }
}
