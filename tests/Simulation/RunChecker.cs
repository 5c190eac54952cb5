// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Holds a whole run against every invariant of the design: its calls (<see cref="HistoryChecker"/>) and what was seen
/// of memory, owners, holders and views.
/// </summary>
internal static class RunChecker
{
    /// <summary>Live, filling and zombie bytes are what the allocators have given out.</summary>
    public const string Used = "used adds up";

    /// <summary>What lies under a word never changes.</summary>
    public const string Extents = "no write under a word";

    /// <summary>All copies of one object have the same bytes.</summary>
    public const string Copies = "copies of one object are equal";

    /// <summary>One owner alone decides for a slot, wherever the owners reach each other.</summary>
    public const string Decides = "one owner decides";

    /// <summary>Who starts makes a mesh of its own only where the registry knows of none.</summary>
    public const string OneMesh = "a mesh begins where the registry was wiped";

    private const long LeastBetweenLooks = 300_000;
    private const long MostBetweenLooks = 3_000_000;

    /// <summary>After quiet time owners, holders and views agree.</summary>
    public const string Agreement = "agreement after quiet time";

    /// <summary>Every rule that a run breaks.</summary>
    /// <param name="history">What was seen of it.</param>
    /// <param name="slack">How much later than its deadline a call may be seen to return, in microseconds.</param>
    public static List<Violation> Check(RunHistory history, long slack)
    {
        var violations = HistoryChecker.Check(history.Calls, slack, history.Begun);
        foreach (var sample in history.Usage)
        {
            if (sample.Live + sample.Filling + sample.Zombie != sample.Used)
                violations.Add(new Violation(Used, sample.ToString()));
        }

        if (history.Meshes.Count > history.Wipes + 1)
            violations.Add(new Violation(OneMesh, $"{history.Meshes.Count} meshes, {history.Wipes} wipes"));
        CheckRivals(history.Rivals, violations);
        CheckExtents(history.Extents, violations);
        if (history.Quiet.Count > 0)
            CheckAgreement(history.Quiet, violations);
        return violations;
    }

    /// <summary>
    /// A node that comes back may be taken for gone a moment longer; what counts is who still decides beside another
    /// when looked at again.
    /// </summary>
    private static void CheckRivals(IReadOnlyList<RivalOwners> rivals, List<Violation> violations)
    {
        var seen = new Dictionary<(int, string, string), RivalOwners>();
        foreach (var both in rivals)
        {
            var pair = (both.Slot, both.First, both.Second);
            bool again = seen.TryGetValue(pair, out var before)
                && both.At - before.At is >= LeastBetweenLooks and <= MostBetweenLooks;
            if (again)
                violations.Add(new Violation(Decides, $"{before}, then {both}"));
            seen[pair] = both;
        }
    }

    private static void CheckExtents(IReadOnlyList<ExtentSample> samples, List<Violation> violations)
    {
        var seen = new Dictionary<(ulong, int, long, ulong), ExtentSample>();
        var objects = new Dictionary<ulong, ExtentSample>();
        foreach (var sample in samples)
        {
            if (!objects.TryAdd(sample.ObjectId, sample) && objects[sample.ObjectId].Value != sample.Value)
                violations.Add(new Violation(Copies, $"{objects[sample.ObjectId]} and {sample}"));
            var place = (sample.Incarnation, sample.Segment, sample.Offset, sample.Word);
            if (!seen.TryAdd(place, sample) && seen[place].Value != sample.Value)
                violations.Add(new Violation(Extents, $"{seen[place]}, then {sample}"));
        }
    }

    private static void CheckAgreement(IReadOnlyList<NodeState> nodes, List<Violation> violations)
    {
        foreach (var node in nodes)
        {
            if (node.NotReady is { } reason)
                Add($"{node.NodeId} is not ready: {reason}");
            if (node.View != nodes[0].View)
                Add($"{node.NodeId} has view {node.View}, {nodes[0].NodeId} has {nodes[0].View}");
        }

        var holders = nodes.ToDictionary(n => n.Incarnation, n => n.Held.ToHashSet());
        var records = nodes.SelectMany(n => n.Records.Select(r => (Node: n, Record: r)))
            .ToLookup(r => r.Record.Key, StringComparer.Ordinal);
        foreach (var key in records)
            CheckKey(key.Key, [.. key], Math.Min(2, nodes.Count), holders, Add);
        foreach (var node in nodes)
        {
            foreach (var held in node.Held)
            {
                if (!records[held.Key].Any(r => Names(r.Record, held, node.Incarnation)))
                    Add($"{node.NodeId} holds {held}, and no owner knows");
            }
        }

        void Add(string text) => violations.Add(new Violation(Agreement, text));
    }

    private static bool Names(KnownRecord record, KnownHeld held, ulong incarnation) => !record.Removed
        && record.ObjectId == held.ObjectId && record.Replicas.Contains(incarnation);

    private static void CheckKey(string key, IReadOnlyList<(NodeState Node, KnownRecord Record)> known, int owners,
        Dictionary<ulong, HashSet<KnownHeld>> holders, Action<string> add)
    {
        var (first, record) = known[0];
        foreach (var (node, other) in known.Skip(1))
        {
            // A tombstone is the same as nothing at all, but for what must not come back.
            if (!IsFound(other) && !IsFound(record))
                continue;
            if (other.Version != record.Version || other.ObjectId != record.ObjectId || other.Removed != record.Removed
                || !other.Replicas.SequenceEqual(record.Replicas))
                add($"{first.NodeId} has {Text(record)}, {node.NodeId} has {Text(other)}");
        }

        bool found = IsFound(record);
        if (found && known.Count < owners)
            add($"{key}: only {first.NodeId} knows {Text(record)}");
        if (!found)
            return;
        foreach (ulong replica in record.Replicas)
        {
            if (!holders.TryGetValue(replica, out var held) || !held.Contains(new KnownHeld(key, record.ObjectId)))
                add($"{key}: {first.NodeId} has {Text(record)}, and {replica:x} does not hold it");
        }
    }

    private static bool IsFound(KnownRecord record) => !record.Removed && record.Replicas.Count > 0;

    private static string Text(KnownRecord record) => $"{record.Key} {record.Version} object {record.ObjectId:x} "
        + $"removed {record.Removed} at {string.Join(',', record.Replicas.Select(r => r.ToString("x")))}";
}
