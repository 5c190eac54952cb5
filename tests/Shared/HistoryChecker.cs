// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Tests.Shared;

/// <summary>A rule that a history breaks, and where.</summary>
/// <param name="Rule">Name of the invariant.</param>
/// <param name="Text">The calls or observations that break it.</param>
public sealed record Violation(string Rule, string Text)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Rule}: {Text}";
}

/// <summary>
/// Holds the calls of a run, simulated or of real processes, against what callers may rely on. It needs no order of the
/// calls but their times, and says nothing of calls whose end is unknown.
/// </summary>
public static class HistoryChecker
{
    /// <summary>Every byte returned belongs to one value that some put of that key wrote.</summary>
    public const string Bytes = "bytes of one put";

    /// <summary>A client's reads of a key do not go back behind what it has seen or written.</summary>
    public const string Order = "reads do not go back";

    /// <summary>An acknowledged value is found while a holder lives.</summary>
    public const string Found = "an acknowledged put is found";

    /// <summary>Every call ends by its deadline.</summary>
    public const string Deadline = "calls end by their deadline";

    /// <summary>No byte of a caller's buffer changes after the call has returned.</summary>
    public const string Buffers = "buffers rest after the return";

    /// <summary>Every rule that <paramref name="calls"/> break.</summary>
    /// <param name="calls">In any order.</param>
    /// <param name="slack">How much later than its deadline a call may be seen to return, in microseconds.</param>
    /// <param name="begun">
    /// When a mesh began that has nothing of the one before, in ascending order: its versions are no later ones.
    /// </param>
    public static List<Violation> Check(IReadOnlyList<CallRecord> calls, long slack, IReadOnlyList<long>? begun = null)
    {
        ArgumentNullException.ThrowIfNull(calls);
        var violations = new List<Violation>();
        var writes = new Dictionary<ulong, CallRecord>();
        foreach (var call in calls.Where(IsWrite))
        {
            if (!writes.TryAdd(call.Value, call))
                throw new ArgumentException($"two puts write value {call.Value:x}", nameof(calls));
        }

        foreach (var call in calls)
            CheckAlone(call, writes, slack, violations);
        bool readsKnow = calls.Any(call => call.Kind == CallKind.Get && !call.Version.IsNone);
        foreach (var group in calls.GroupBy(
            call => (call.Client, call.Key, call.Past, begun?.Count(at => at <= call.Start))))
            CheckOrder(group.OrderBy(call => call.Start), writes, readsKnow, violations);
        foreach (var group in calls.GroupBy(call => call.Key, StringComparer.Ordinal))
        {
            CallRecord[] all = [.. group];
            CheckFound(all, violations);
            CheckRemoved(all, violations);
        }

        return violations;
    }

    private static bool IsWrite(CallRecord call) => call.Kind is CallKind.Put or CallKind.Upsert;

    private static void CheckAlone(CallRecord call, Dictionary<ulong, CallRecord> writes, long slack,
        List<Violation> violations)
    {
        if (call.End - call.Start > call.Limit + slack)
            violations.Add(new Violation(Deadline, $"{call} took {call.End - call.Start} us of {call.Limit}"));
        if (call.ChangedAfterReturn)
            violations.Add(new Violation(Buffers, call.ToString()));
        if (call.Kind != CallKind.Get || call.Outcome != CallOutcome.Done)
            return;
        if (!writes.TryGetValue(call.Value, out var write) || write.Key != call.Key)
            violations.Add(new Violation(Bytes, $"{call}: no put of this key wrote that"));
        // A put that found the key taken may yet have been stored, by an earlier try that its client gave up.
        else if (write.Start > call.End || write.Outcome == CallOutcome.Refused)
            violations.Add(new Violation(Bytes, $"{call}: {write} did not put that in place"));
    }

    /// <summary>
    /// Calls of one client on one key, one after the other. Where reads do not say which version they read, it is that
    /// of the put.
    /// </summary>
    private static void CheckOrder(IEnumerable<CallRecord> calls, Dictionary<ulong, CallRecord> writes, bool readsKnow,
        List<Violation> violations)
    {
        CallRecord? seen = null;
        ulong written = 0;
        var version = default(RecordVersion);
        var removed = default(RecordVersion);
        foreach (var call in calls)
        {
            var mine = call.Outcome == CallOutcome.Done ? call.Version : default;
            if (call is { Outcome: CallOutcome.Done, Kind: CallKind.Remove })
            {
                removed = mine > removed ? mine : removed;
                continue;
            }

            if (call is { Outcome: CallOutcome.Done, Kind: CallKind.Get } && mine.IsNone && !readsKnow
                && writes.TryGetValue(call.Value, out var write) && write.Outcome == CallOutcome.Done)
                mine = write.Version;
            if (mine.IsNone)
                continue;
            // A write may lose against what the other side of a split had: later reads show that, not this call.
            bool same = seen?.Value == call.Value || written == call.Value;
            if (call.Kind == CallKind.Get && ((mine < version && !same) || mine < removed))
                violations.Add(new Violation(Order, $"{call} of version {mine}, after {seen}, removed {removed}"));
            if (IsWrite(call))
                written = call.Value;
            if (mine > version)
                (version, seen) = (mine, call);
        }
    }

    /// <summary>
    /// Calls on one key: what a client has removed it does not read again, whatever its version is by then, unless
    /// others have written meanwhile. Within a view: an owner that is new to the slot may take what it cannot judge.
    /// </summary>
    private static void CheckRemoved(IReadOnlyList<CallRecord> calls, List<Violation> violations)
    {
        foreach (var removal in calls.Where(c => c.Kind == CallKind.Remove && c.Outcome == CallOutcome.Done))
        {
            foreach (var read in calls.Where(c => c is { Kind: CallKind.Get, Outcome: CallOutcome.Done, Value: not 0 }
                && c.Client == removal.Client && c.Value == removal.Value && c.Start > removal.End
                && c.Version.Epoch == removal.Version.Epoch && c.Version.Revision == removal.Version.Revision))
            {
                if (!calls.Any(c => c != removal && c.Value != removal.Value && MayWrite(c)
                    && c.Start < read.End && (c.End > removal.Start || c.Outcome == CallOutcome.Unknown)))
                    violations.Add(new Violation(Order, $"{read}, after {removal}"));
            }
        }
    }

    private static bool MayWrite(CallRecord call) => (IsWrite(call) || call.Kind == CallKind.Remove)
        && call.Outcome is CallOutcome.Done or CallOutcome.Unknown;

    /// <summary>Calls on one key.</summary>
    private static void CheckFound(IReadOnlyList<CallRecord> calls, List<Violation> violations)
    {
        foreach (var miss in calls.Where(c => c.Outcome == CallOutcome.NotFound && c.HeldThroughout))
        {
            var put = calls.FirstOrDefault(p => IsAcknowledged(p) && p.Value == miss.Value && p.End < miss.Start);
            if (put is not null && !calls.Any(c => MayReplace(c, put) && c.Start < miss.End))
                violations.Add(new Violation(Found, $"{miss}, although {put} and a holder lives"));
        }
    }

    /// <summary>
    /// Whether a call may have taken the value of an acknowledged put away. Across a split an earlier write may have
    /// the greater version; it stays, and may be evicted since. Two writes of one version are of two sides; which of
    /// them stays the objectIds say, and they are not known here.
    /// </summary>
    private static bool MayReplace(CallRecord call, CallRecord put) => call != put
        && ((call.Kind is CallKind.Remove or CallKind.Upsert
                && call.Outcome is CallOutcome.Done or CallOutcome.Unknown
                && (call.End > put.Start || call.Outcome == CallOutcome.Unknown))
            || (IsAcknowledged(call) && !call.Version.IsNone && call.Version >= put.Version));

    private static bool IsAcknowledged(CallRecord call) => IsWrite(call) && call.Outcome == CallOutcome.Done;
}
