// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>
/// A registry in memory, shared by the <see cref="EmbeddedRegistry"/> clients of one process: keys with revisions,
/// leases on the given clock, history for watches, compaction. It behaves like etcd, and can be made to fail like it.
/// Thread-safe.
/// </summary>
public sealed class EmbeddedRegistryStore(TimeProvider time, RandomSource random)
{
    /// <summary>Most events kept for watches; older ones are compacted.</summary>
    public const int MaxHistory = 16_384;

    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, RegistryEntry> _entries = new(StringComparer.Ordinal);
    private readonly SortedDictionary<long, EmbeddedLease> _leases = [];
    private readonly List<RegistryEvent> _history = [];
    private readonly List<EmbeddedWatch> _watches = [];
    private long _revision = 1;
    private long _compacted;
    private bool _noSpace;
    private bool _frozen;
    private ITimer? _expiry;
    private long _expiryAt;

    /// <summary>The present revision.</summary>
    public long Revision
    {
        get
        {
            lock (_gate)
                return _revision;
        }
    }

    /// <summary>Every key, ordered by name, with the present revision.</summary>
    public RegistryListing Read()
    {
        lock (_gate)
        {
            ExpireDue();
            return new RegistryListing(_revision, [.. _entries.Values]);
        }
    }

    /// <summary>Writes a key whatever it holds, as an operator would by hand; returns the new revision.</summary>
    public long Put(string key, byte[] value)
    {
        lock (_gate)
            return Store(key, value, 0);
    }

    /// <summary>Deletes a key, as an operator would by hand.</summary>
    public void Delete(string key)
    {
        lock (_gate)
            Remove([key]);
    }

    /// <summary>Loses everything and starts at revision 1, as etcd does with an empty data directory.</summary>
    public void Wipe() => Restore(new EmbeddedSnapshot(1, [], []));

    /// <summary>What the store holds now, for <see cref="Restore"/>.</summary>
    public EmbeddedSnapshot Snapshot()
    {
        lock (_gate)
        {
            ExpireDue();
            return new EmbeddedSnapshot(_revision, [.. _entries.Values],
                [.. _leases.Values.Select(lease => new RegistryLease(lease.Id, lease.TimeToLive))]);
        }
    }

    /// <summary>
    /// Goes back to a snapshot: every watch breaks and its leases start anew, as after a restore of etcd.
    /// </summary>
    public void Restore(EmbeddedSnapshot snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        lock (_gate)
        {
            _entries.Clear();
            _leases.Clear();
            _history.Clear();
            _revision = snapshot.Revision;
            _compacted = snapshot.Revision;
            foreach (var entry in snapshot.Entries)
                _entries[entry.Key] = entry;
            foreach (var lease in snapshot.Leases)
                _leases[lease.Id] = new EmbeddedLease(lease.Id, lease.TimeToLive, Deadline(lease.TimeToLive));
        }

        BreakWatches();
    }

    /// <summary>Every lease starts anew at its full time to live, as after a restart or a change of leader.</summary>
    public void RestartLeases()
    {
        lock (_gate)
        {
            foreach (var lease in _leases.Values)
                lease.Deadline = Deadline(lease.TimeToLive);
        }
    }

    /// <summary>Forgets the history up to and with <paramref name="revision"/>.</summary>
    public void Compact(long revision)
    {
        lock (_gate)
        {
            _compacted = Math.Max(_compacted, Math.Min(revision, _revision));
            _history.RemoveAll(change => change.Revision <= _compacted);
        }
    }

    /// <summary>Ends a lease now and deletes the keys on it.</summary>
    /// <returns>Whether there was such a lease.</returns>
    public bool ExpireLease(long lease)
    {
        lock (_gate)
            return End(lease);
    }

    /// <summary>Ends every watch as a lost connection does.</summary>
    public void BreakWatches()
    {
        EmbeddedWatch[] broken;
        lock (_gate)
        {
            broken = [.. _watches];
            _watches.Clear();
        }

        foreach (var watch in broken)
            watch.End(WatchEnd.Broken);
    }

    /// <summary>
    /// Raises or clears the NOSPACE alarm: grants and writes are refused, keep-alives and reads are not.
    /// </summary>
    public void SetNoSpace(bool alarm)
    {
        lock (_gate)
            _noSpace = alarm;
    }

    internal RegistryLease Grant(TimeSpan timeToLive)
    {
        lock (_gate)
        {
            RefuseWhenFull();
            long id;
            do
                id = (long)(random.NextUInt64() & long.MaxValue);
            while (id == 0 || _leases.ContainsKey(id));
            _leases[id] = new EmbeddedLease(id, timeToLive, Deadline(timeToLive));
            return new RegistryLease(id, timeToLive);
        }
    }

    internal TimeSpan? KeepAlive(long id)
    {
        lock (_gate)
        {
            ExpireDue();
            if (!_leases.TryGetValue(id, out var lease))
                return null;
            lease.Deadline = Deadline(lease.TimeToLive);
            return lease.TimeToLive;
        }
    }

    internal RegistryWrite WriteIf(string key, byte[] value, long lease, long expectedModRevision)
    {
        lock (_gate)
        {
            ExpireDue();
            RefuseWhenFull();
            var current = _entries.GetValueOrDefault(key);
            if ((current?.ModRevision ?? 0) != expectedModRevision)
                return new RegistryWrite(false, _revision, current);
            if (lease != 0 && !_leases.ContainsKey(lease))
                throw new RegistryException(RegistryFailure.LeaseNotFound, $"write {key}: requested lease not found");
            return new RegistryWrite(true, Store(key, value, lease), null);
        }
    }

    /// <summary>Opens a watch; null when its start is compacted.</summary>
    internal EmbeddedWatch? Watch(long fromRevision)
    {
        lock (_gate)
        {
            ExpireDue();
            if (fromRevision <= _compacted)
                return null;
            var watch = new EmbeddedWatch(fromRevision, _history.Where(change => change.Revision >= fromRevision));
            _watches.Add(watch);
            return watch;
        }
    }

    internal void Close(EmbeddedWatch watch)
    {
        lock (_gate)
            _watches.Remove(watch);
    }

    /// <summary>Whether the store is stopped.</summary>
    internal bool Frozen
    {
        get
        {
            lock (_gate)
                return _frozen;
        }
    }

    /// <summary>Stops (true) or continues (false) the store as SIGSTOP does: leases are not ended while it is stopped,
    /// and those that ran out are ended when it continues, before any call is served.</summary>
    public void SetFrozen(bool frozen)
    {
        EmbeddedWatch[] watches;
        lock (_gate)
        {
            _frozen = frozen;
            ExpireDue();
            watches = [.. _watches];
        }

        foreach (var watch in watches)
            watch.Wake();
    }

    private long Deadline(TimeSpan timeToLive)
    {
        long deadline = time.GetTimestamp() + (long)(timeToLive.TotalSeconds * time.TimestampFrequency);
        ArmExpiry(deadline);
        return deadline;
    }

    /// <summary>One timer at the earliest deadline; a renewal leaves it early, and it arms itself anew.</summary>
    private void ArmExpiry(long deadline)
    {
        if (_expiry is not null && deadline >= _expiryAt)
            return;
        _expiry?.Dispose();
        _expiryAt = deadline;
        // A frozen store keeps leases whose time is up: look again soon instead of at once.
        double seconds = Math.Max(0.05, (double)(deadline - time.GetTimestamp()) / time.TimestampFrequency);
        _expiry = time.CreateTimer(static state => ((EmbeddedRegistryStore)state!).OnExpiryTimer(), this,
            TimeSpan.FromSeconds(seconds), Timeout.InfiniteTimeSpan);
    }

    private void OnExpiryTimer()
    {
        lock (_gate)
        {
            ExpireDue();
            _expiry?.Dispose();
            _expiry = null;
            if (_leases.Count > 0)
                ArmExpiry(_leases.Values.Min(lease => lease.Deadline));
        }
    }

    private void ExpireDue()
    {
        if (_frozen)
            return;
        long now = time.GetTimestamp();
        foreach (var lease in _leases.Values.Where(lease => lease.Deadline <= now).ToArray())
            End(lease.Id);
    }

    private bool End(long lease)
    {
        if (!_leases.Remove(lease))
            return false;
        Remove([.. _entries.Values.Where(entry => entry.Lease == lease).Select(entry => entry.Key)]);
        return true;
    }

    private void RefuseWhenFull()
    {
        if (_noSpace)
            throw new RegistryException(RegistryFailure.NoSpace, "mvcc: database space exceeded");
    }

    private long Store(string key, byte[] value, long lease)
    {
        var entry = new RegistryEntry(key, value, lease, ++_revision);
        _entries[key] = entry;
        Deliver([new RegistryEvent(_revision, key, entry)]);
        return _revision;
    }

    private void Remove(string[] keys)
    {
        keys = [.. keys.Where(_entries.ContainsKey)];
        if (keys.Length == 0)
            return;
        _revision++;
        foreach (string key in keys)
            _entries.Remove(key);
        Deliver([.. keys.Select(key => new RegistryEvent(_revision, key, null))]);
    }

    private void Deliver(RegistryEvent[] changes)
    {
        _history.AddRange(changes);
        if (_history.Count > MaxHistory)
        {
            _compacted = _history[_history.Count - (MaxHistory / 2)].Revision;
            _history.RemoveAll(change => change.Revision <= _compacted);
        }

        foreach (var watch in _watches)
            watch.Add(changes);
    }
}

/// <summary>What an <see cref="EmbeddedRegistryStore"/> held at one moment.</summary>
/// <param name="Revision">Its revision.</param>
/// <param name="Entries">Its keys.</param>
/// <param name="Leases">Its leases with their full time to live.</param>
public sealed record EmbeddedSnapshot(
    long Revision, IReadOnlyList<RegistryEntry> Entries, IReadOnlyList<RegistryLease> Leases);

internal sealed class EmbeddedLease(long id, TimeSpan timeToLive, long deadline)
{
    public long Id { get; } = id;

    public TimeSpan TimeToLive { get; } = timeToLive;

    public long Deadline { get; set; } = deadline;
}
