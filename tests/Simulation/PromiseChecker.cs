// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// A put that says it is done, or that its key has a value already, speaks of something that is there, or comes to be
/// there once the holder hears of it. Judged where nothing else can explain that nobody ever had it: around that time
/// no node ended, began or evicted anything, and nobody removed, replaced or put the key.
/// </summary>
internal static class PromiseChecker
{
    /// <summary>The rule.</summary>
    public const string Promise = "what a put speaks of is there";

    /// <summary>Links are cut for 20 s at most, and then the holder asks the owners at once.</summary>
    private const long Wait = 25_000_000;

    /// <summary>A node that has ended is a member, and its copies count, while its lease of up to 8 s lasts.</summary>
    private const long Lease = 12_000_000;

    /// <summary>A holder offers a put for 10 s more, and asks for 60 s what has become of it.</summary>
    private const long Background = 70_000_000;

    /// <summary>Nodes are looked at every 1.5 s at least.</summary>
    private const long Between = 1_500_000;

    public static void Check(RunHistory history, List<Violation> violations)
    {
        var seen = history.Extents.ToLookup(extent => extent.Value, extent => extent.At);
        var puts = history.Calls.Where(call => call.Kind is CallKind.Put or CallKind.Upsert)
            .ToLookup(call => call.Key, StringComparer.Ordinal);
        var changes = history.Calls.Where(IsChange).ToLookup(call => call.Key, StringComparer.Ordinal);
        foreach (var put in puts.SelectMany(key => key))
        {
            if (put.Outcome != CallOutcome.Done && (put.Kind != CallKind.Put || put.Outcome != CallOutcome.Existed))
                continue;
            long from = put.Start - Between, to = put.End + Wait;
            // Of two that were put on the two sides of a split one stays.
            if (puts[put.Key].Any(other => seen[other.Value].Any(at => at >= from && at <= to + Between))
                || changes[put.Key].Any(call => call != put && call.Start <= to && EndOf(call) >= from)
                || history.Begun.Any(at => at >= from - Lease && at <= to) || !IsQuiet(history, from - Lease, to))
                continue;
            violations.Add(new Violation(Promise, $"{put}: nobody had it in {Wait / 1_000_000} s"));
        }
    }

    /// <summary>What may take a value away, or its place.</summary>
    private static bool IsChange(CallRecord call) => call.Kind is CallKind.Remove or CallKind.Upsert
        || (call.Kind == CallKind.Put && call.Outcome != CallOutcome.Existed);

    /// <summary>When a change is over: one whose end is unknown goes on in the background.</summary>
    private static long EndOf(CallRecord call) =>
        call.Outcome == CallOutcome.Unknown ? call.End + Background : call.End;

    /// <summary>Whether the same lives of nodes were there all the time, and none evicted anything.</summary>
    private static bool IsQuiet(RunHistory history, long from, long to)
    {
        var first = new Dictionary<ulong, long>();
        var last = new Dictionary<ulong, long>();
        var all = new HashSet<ulong>();
        foreach (var sample in history.Usage)
        {
            if (sample.At >= from - Between && sample.At <= from)
                first[sample.Incarnation] = sample.Evictions;
            if (sample.At >= to && sample.At <= to + Between)
                last[sample.Incarnation] = sample.Evictions;
            if (sample.At >= from && sample.At <= to)
                all.Add(sample.Incarnation);
        }

        return first.Count > 0 && first.Count == last.Count && all.SetEquals(first.Keys)
            && first.All(node => last.TryGetValue(node.Key, out long evictions) && evictions == node.Value);
    }
}
