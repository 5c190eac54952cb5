// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// The time of a simulated world: stands still while anything is ready to run, then jumps to the next thing that is
/// due. Things due at one moment happen in the order in which they were asked for. One thread.
/// </summary>
internal sealed class SimulatedClock
{
    private readonly PriorityQueue<Due, (long At, long Order)> _due = new();
    private long _order;

    /// <summary>Ticks since the world began.</summary>
    public long Now { get; private set; }

    /// <summary>Microseconds since the world began.</summary>
    public long Microseconds => Now / TimeSpan.TicksPerMicrosecond;

    /// <summary>Has <paramref name="action"/> done after <paramref name="delay"/>.</summary>
    public Due After(TimeSpan delay, Action action)
    {
        var due = new Due(action);
        _due.Enqueue(due, (Now + Math.Max(0, delay.Ticks), ++_order));
        return due;
    }

    /// <summary>Does the next thing that is due, if it is so by <paramref name="limit"/>.</summary>
    /// <returns>False when nothing is; the time is then <paramref name="limit"/>.</returns>
    public bool Step(long limit)
    {
        while (_due.TryPeek(out var due, out var when))
        {
            if (due.IsCancelled)
            {
                _due.Dequeue();
                continue;
            }

            if (when.At > limit)
                break;
            _due.Dequeue();
            Now = when.At;
            due.Run();
            return true;
        }

        Now = Math.Max(Now, limit);
        return false;
    }

    /// <summary>Something to be done at its time, unless it is cancelled before.</summary>
    public sealed class Due(Action action)
    {
        private Action? _action = action;

        public bool IsCancelled => _action is null;

        public void Cancel() => _action = null;

        public void Run()
        {
            var run = _action;
            _action = null;
            run?.Invoke();
        }
    }
}
