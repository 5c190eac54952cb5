// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>The events one watch of the embedded registry has still to deliver. Thread-safe.</summary>
internal sealed class EmbeddedWatch(long fromRevision, IEnumerable<RegistryEvent> past)
{
    /// <summary>A watcher further behind loses its watch, as with a lost connection, and lists again.</summary>
    private const int MaxPending = 2 * EmbeddedRegistryStore.MaxHistory;

    private readonly Lock _gate = new();
    private List<RegistryEvent> _pending = [.. past];
    private TaskCompletionSource? _waiter;
    private WatchEnd? _end;

    public void Add(IReadOnlyList<RegistryEvent> changes)
    {
        lock (_gate)
        {
            if (changes[0].Revision < fromRevision)
                return;
            if (_pending.Count > MaxPending)
                _end ??= WatchEnd.Broken;
            else
                _pending.AddRange(changes);
        }

        Wake();
    }

    public void End(WatchEnd end)
    {
        lock (_gate)
            _end ??= end;
        Wake();
    }

    public void Wake()
    {
        TaskCompletionSource? waiter;
        lock (_gate)
        {
            waiter = _waiter;
            _waiter = null;
        }

        waiter?.TrySetResult();
    }

    /// <summary>The events waiting, or how the watch ended; both empty: nothing yet.</summary>
    public IReadOnlyList<RegistryEvent> Take(out WatchEnd? end)
    {
        lock (_gate)
        {
            var taken = _pending;
            _pending = [];
            end = taken.Count == 0 ? _end : null;
            return taken;
        }
    }

    /// <summary>Whether it has ended, whatever is still waiting.</summary>
    public bool HasEnded
    {
        get
        {
            lock (_gate)
                return _end is not null;
        }
    }

    /// <summary>Waits until <see cref="Wake"/>; the caller looks again whatever woke it.</summary>
    public Task WaitAsync(bool evenIfPending, CancellationToken cancel)
    {
        TaskCompletionSource waiter;
        lock (_gate)
        {
            if (_end is not null || (!evenIfPending && _pending.Count > 0))
                return Task.CompletedTask;
            waiter = _waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        return waiter.CancellableAsync(cancel);
    }
}
