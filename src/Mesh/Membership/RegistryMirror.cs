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

    /// <summary>The config at the last listing.</summary>
    public MeshConfig? Config { get; private set; }

    public long Epoch => Config?.Epoch ?? 0;

    /// <summary>The content is that of this revision.</summary>
    public long UpTo { get; private set; }

    /// <summary>A revision from the last event under our prefix on; see <see cref="ViewKeeper"/>.</summary>
    public long LastEvent { get; private set; }

    public IReadOnlyCollection<NodeRecord> Members => _nodes.Values;

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
    }

    /// <summary>Takes events.</summary>
    /// <returns>Whether the config changed.</returns>
    public bool Apply(IReadOnlyList<RegistryEvent> events)
    {
        bool configChanged = false;
        long known = UpTo;
        foreach (var change in events)
        {
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

    private void Set(RegistryEntry entry)
    {
        if (entry.Key.StartsWith(NodePrefix, StringComparison.Ordinal))
            SetNode(entry.Key[NodePrefix.Length..], entry);
        else if (entry.Key.StartsWith(ClearedPrefix, StringComparison.Ordinal))
            SetCounter(entry);
    }

    private void SetNode(string id, RegistryEntry entry)
    {
        if (_nodes.ContainsKey(id) && _nodeRevisions.GetValueOrDefault(id) == entry.ModRevision)
            return;
        // A record we cannot read, or that names another node, is nobody: it must not break the membership.
        var record = entry.Value.Length <= NodeRecord.MaxBytes ? NodeRecord.FromJson(entry.Value) : null;
        if (record is null || !string.Equals(record.NodeId, id, StringComparison.Ordinal) || record.Incarnation == 0 ||
            !MembershipNames.IsValid(id))
        {
            RemoveNode(id);
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
