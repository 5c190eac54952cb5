// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>Changes of our record that wait to be written, and who waits for them; bounded. Thread-safe.</summary>
internal sealed class WaitingUpdates
{
    private const int Most = 64;

    private readonly Lock _gate = new();
    private readonly List<(long Version, TaskCompletionSource Done)> _waiting = [];
    private long _wanted;
    private long _written;

    /// <summary>Number of the last change.</summary>
    public long Wanted
    {
        get
        {
            lock (_gate)
                return _wanted;
        }
    }

    /// <summary>Whether a change is not written yet.</summary>
    public bool AreBehind
    {
        get
        {
            lock (_gate)
                return _wanted > _written;
        }
    }

    /// <summary>Whether no further change is taken.</summary>
    public bool AreFull
    {
        get
        {
            lock (_gate)
                return _waiting.Count >= Most;
        }
    }

    /// <summary>Notes a change; what is returned ends when it is written.</summary>
    public TaskCompletionSource Add()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
            _waiting.Add((++_wanted, done));
        return done;
    }

    /// <summary>The record is written with every change up to this one.</summary>
    public void Written(long version)
    {
        TaskCompletionSource[] done;
        lock (_gate)
        {
            _written = Math.Max(_written, version);
            done = [.. _waiting.Where(update => update.Version <= version).Select(update => update.Done)];
            _waiting.RemoveAll(update => update.Version <= version);
        }

        foreach (var source in done)
            source.TrySetResult();
    }

    /// <summary>None of them will be written.</summary>
    public void Cancel()
    {
        TaskCompletionSource[] failed;
        lock (_gate)
        {
            failed = [.. _waiting.Select(update => update.Done)];
            _waiting.Clear();
        }

        foreach (var source in failed)
            source.TrySetCanceled();
    }
}
