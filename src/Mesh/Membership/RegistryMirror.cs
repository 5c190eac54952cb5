// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>What the registry holds under our prefix, as far as listing and watch have told. Not thread-safe.</summary>
internal sealed class RegistryMirror
{
    public const string ConfigKey = "config";
    public const string NodePrefix = "nodes/";
    public const string ClearedPrefix = "cleared/";

    private readonly SortedDictionary<string, NodeRecord> _nodes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _nodeRevisions = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Counter> _counters = new(StringComparer.Ordinal);
    private readonly List<RingChange> _changes = [];
    private long _changesSince;
    private long _delivered;
    private long _listed;
    private bool _missed;

    /// <summary>The config at the last listing.</summary>
    public MeshConfig? Config { get; private set; }

    public long Epoch => Config?.Epoch ?? 0;

    /// <summary>The content is that of this revision.</summary>
    public long UpTo { get; private set; }

    /// <summary>A revision from the last event under our prefix on; see <see cref="ViewKeeper"/>.</summary>
    public long LastEvent { get; private set; }

    public IReadOnlyCollection<NodeRecord> Members => _nodes.Values;

    /// <summary>How the ring came to be as it is.</summary>
    public RingPast Past => new(UpTo, _changesSince, [.. _changes]);

    /// <summary>
    /// Where a watch begins: it tells again what came since the listing before the last one, because a node that came
    /// and went in between shows in no listing.
    /// </summary>
    public long WatchFrom { get; private set; }

    /// <summary>Events were lost for good: the registry no longer has them.</summary>
    public void Missed() => _missed = true;

    /// <summary>
    /// Takes a listing; with the same past, what vanished without an event is an event of the listing.
    /// </summary>
    public void Take(RegistryListing listing, MeshConfig config, bool samePast)
    {
        long last = listing.Entries.Count == 0 ? 0 : listing.Entries.Max(entry => entry.ModRevision);
        var listed = listing.Entries.Select(entry => entry.Key).ToHashSet(StringComparer.Ordinal);
        var vanished = _nodes.Keys.Where(id => !listed.Contains(NodePrefix + id)).ToArray();
        if (!samePast)
            _nodeRevisions.Clear();
        bool news = !samePast || _missed || vanished.Length > 0 || listing.Entries.Any(IsNews);
        foreach (string id in vanished)
            RemoveNode(id);
        foreach (var counter in _counters.Values)
            counter.Forget();
        foreach (var entry in listing.Entries)
            Set(entry);
        Config = config;
        UpTo = listing.Revision;
        if (!samePast)
            LastEvent = last;
        else
            LastEvent = Math.Max(LastEvent, vanished.Length > 0 ? listing.Revision : last);
        WatchFrom = 1 + (samePast && !_missed ? Math.Min(_listed, listing.Revision) : listing.Revision);
        _listed = listing.Revision;
        _missed = false;
        if (!samePast)
            _delivered = listing.Revision;
        if (!news)
            return;
        _changes.Clear();
        _changesSince = listing.Revision;
    }

    /// <summary>Takes events.</summary>
    /// <returns>Whether the config changed.</returns>
    public bool Apply(IReadOnlyList<RegistryEvent> events)
    {
        bool configChanged = false;
        long known = UpTo;
        long delivered = _delivered;
        foreach (var change in events)
        {
            if (change.Revision <= delivered)
                continue;
            _delivered = change.Revision;
            NoteRing(change);
            if (change.Revision <= known)
                continue;
            UpTo = change.Revision;
            LastEvent = change.Revision;
            if (change.Key == ConfigKey)
                configChanged = true;
            else if (change.Entry is { } entry)
                Set(entry);
            else if (change.Key.StartsWith(NodePrefix, StringComparison.Ordinal))
                RemoveNode(change.Key[NodePrefix.Length..]);
        }

        return configChanged;
    }

    public IReadOnlyList<(string Key, long Value, long ModRevision)> LostCounters() =>
        [.. _counters.Where(pair => pair.Value.Greatest > pair.Value.Held)
            .Select(pair => (pair.Key, pair.Value.Greatest, pair.Value.ModRevision))];

    /// <summary>The greatest value ever seen of a namespace's counter.</summary>
    public long ClearedOf(string name) => _counters.GetValueOrDefault(ClearCounter.KeyOf(name))?.Greatest ?? 0;

    private bool IsNews(RegistryEntry entry) => entry.Key.StartsWith(NodePrefix, StringComparison.Ordinal)
        && _nodeRevisions.GetValueOrDefault(entry.Key[NodePrefix.Length..]) != entry.ModRevision;

    /// <summary>
    /// Notes what an event means for the ring. One that a listing has hidden makes a new view of the same members.
    /// </summary>
    private void NoteRing(RegistryEvent change)
    {
        if (change.Revision <= _changesSince || !change.Key.StartsWith(NodePrefix, StringComparison.Ordinal))
            return;
        string id = change.Key[NodePrefix.Length..];
        int weight = change.Entry is { } entry ? RingPast.WeightOf(NodeRecord.FromJson(entry.Value)) : 0;
        bool hidden = change.Revision <= UpTo;
        if (!hidden && weight == RingPast.WeightOf(_nodes.GetValueOrDefault(id)))
            return;
        _changes.Add(new RingChange(change.Revision, id, weight));
        if (hidden)
            LastEvent = UpTo;
        if (_changes.Count > RingPast.MostChanges)
        {
            _changesSince = _changes[0].Revision;
            _changes.RemoveAt(0);
        }
    }

    private void Set(RegistryEntry entry)
    {
        if (entry.Key.StartsWith(NodePrefix, StringComparison.Ordinal))
            SetNode(entry.Key[NodePrefix.Length..], entry);
        else if (entry.Key.StartsWith(ClearedPrefix, StringComparison.Ordinal))
            SetCounter(entry);
    }

    private void SetNode(string id, RegistryEntry entry)
    {
        if (_nodeRevisions.GetValueOrDefault(id) == entry.ModRevision)
            return;
        // A record we cannot read, or that names another node, is nobody: it must not break the membership.
        var record = entry.Value.Length <= NodeRecord.MaxBytes ? NodeRecord.FromJson(entry.Value) : null;
        if (record is null || !string.Equals(record.NodeId, id, StringComparison.Ordinal) || record.Incarnation == 0 ||
            !MembershipNames.IsValid(id))
        {
            RemoveNode(id);
            _nodeRevisions[id] = entry.ModRevision;
            return;
        }

        // The lease the key really is on is the session, whatever the record says.
        _nodes[id] = record.Session == entry.Lease ? record : record with { Session = entry.Lease };
        _nodeRevisions[id] = entry.ModRevision;
    }

    private void RemoveNode(string id)
    {
        _nodes.Remove(id);
        _nodeRevisions.Remove(id);
    }

    private void SetCounter(RegistryEntry entry)
    {
        if (ClearCounter.Parse(entry.Value) is not { } value)
            return;
        if (!_counters.TryGetValue(entry.Key, out var counter))
            _counters[entry.Key] = counter = new Counter();
        counter.Hold(value, entry.ModRevision);
    }

    private sealed class Counter
    {
        public long Greatest { get; private set; }

        public long Held { get; private set; }

        public long ModRevision { get; private set; }

        public void Hold(long value, long modRevision)
        {
            Held = value;
            ModRevision = modRevision;
            Greatest = Math.Max(Greatest, value);
        }

        public void Forget() => (Held, ModRevision) = (0, 0);
    }
}
