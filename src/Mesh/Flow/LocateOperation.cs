// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Finds the records of keys: one request per owner, all at the same time; a key that its owner cannot answer for goes
/// to the next one, from the acting primary down the list, with a hedge after 30 ms. Ends with Yes or Absent for every
/// key, or an error for those that nobody could answer for by the deadline.
/// </summary>
internal sealed class LocateOperation
{
    /// <summary>Keys whose primaries the processor fetches at a time.</summary>
    private const int ReadAhead = 128;

    private static readonly TimeSpan HedgeAfter = TimeSpan.FromMilliseconds(30);
    private const int MostHedges = SlotTable.Places - 1;
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ProbeTimeout = TimeSpan.FromMilliseconds(100);

    private readonly FlowContext _context;
    private readonly IReadOnlyList<MeshKey> _keys;
    private readonly LocateWants _wants;
    private readonly Deadline _deadline;
    private readonly CancellationToken _cancel;
    private readonly Located _located;

    /// <summary>Whom the first turn of this round asked.</summary>
    private List<Group> _first = [];

    /// <summary>By key, the order of this round; made when a second one has to be asked.</summary>
    private Dictionary<int, List<NodeRecord>>? _orders;

    private LocateOperation(FlowContext context, IReadOnlyList<MeshKey> keys, LocateWants wants, Deadline deadline,
        CancellationToken cancel)
    {
        _context = context;
        _keys = keys;
        _wants = wants;
        _deadline = deadline;
        _cancel = cancel;
        _located = new Located(keys, context.Seen, deadline.Limit);
    }

    /// <summary>
    /// Locates <paramref name="keys"/>; each is legal. <paramref name="stale"/>: what owners have said of the one key,
    /// and its holders no longer have; it is asked for once more, and when no owner knows better, and one that may deny
    /// knows but this, the key is absent.
    /// </summary>
    public static async Task<Located> RunAsync(FlowContext context, IReadOnlyList<MeshKey> keys, LocateWants wants,
        Deadline deadline, CancellationToken cancel, StaleRecords? stale = null)
    {
        var operation = new LocateOperation(context, keys, wants, deadline, cancel);
        operation._located.Stale = stale;
        try
        {
            await operation.RunAsync();
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            // What is not answered yet is reported by Located.ErrorOf.
        }

        return operation._located.End(cancel.IsCancellationRequested);
    }

    /// <summary>What other owners, of this view or the last, have of a key; null when none of them has it.</summary>
    public static async Task<ObjectRecord?> ElsewhereAsync(FlowContext context, MeshKey key, NodeRecord asked,
        Deadline deadline, CancellationToken cancel)
    {
        var request = new LocateRequest([key], false);
        var calls = new List<Task<MeshResult<LocateAnswer>>>();
        foreach (var node in context.CandidatesOf(context.SlotOf(key)))
        {
            if (node.NodeId != asked.NodeId && !context.IsDown(node))
                calls.Add(context.Calls.LocateAsync(node, request, deadline.AtMost(ProbeTimeout), cancel));
        }

        foreach (var call in calls)
        {
            var answer = await call;
            if (answer is { Succeeded: true, Value.Count: 1 } && answer.Value.RecordOf(0) is { } record)
                return record;
        }

        return null;
    }

    private async Task RunAsync()
    {
        var open = new List<int>(_keys.Count);
        for (int i = 0; i < _keys.Count; i++)
            open.Add(i);
        var backoff = default(Backoff);
        while (open.Count > 0)
        {
            _orders = null;
            for (int turn = 0; turn < 2 * SlotTable.Places && open.Count > 0; turn++)
            {
                if (!await AskAsync(open, turn))
                    break;
                open.RemoveAll(_located.IsAnswered);
                if (_deadline.Passed || _cancel.IsCancellationRequested)
                    return;
            }

            _located.DenyStale();
            open.RemoveAll(_located.IsAnswered);
            if (open.Count > 0)
                await backoff.PauseAsync(_context, _deadline, _cancel);
            if (_deadline.Passed)
                return;
        }
    }

    /// <summary>Asks the <paramref name="turn"/>th candidate of each open key; false when there is none.</summary>
    private async Task<bool> AskAsync(List<int> open, int turn)
    {
        var groups = GroupByCandidate(open, turn);
        if (turn == 0)
            _first = groups;
        if (groups.Count == 0)
            return false;
        Task all;
        if (groups.Count == 1)
        {
            all = AskNodeAsync(groups[0]);
        }
        else
        {
            var asked = new Task[groups.Count];
            for (int i = 0; i < asked.Length; i++)
                asked[i] = AskNodeAsync(groups[i]);
            all = Task.WhenAll(asked);
        }

        if (turn == 0 && !all.IsCompleted)
        {
            if (!await all.EndsWithinAsync(HedgeAfter, _context.Runtime.Time, _cancel))
                await HedgeAsync(open, all);
            return true;
        }

        await all;
        return true;
    }

    /// <summary>
    /// Asks the next owners as well, one after the other, while those asked before keep silent; waits until every key
    /// is answered or all have spoken. A silent owner must not hide one behind it that knows.
    /// </summary>
    private async Task HedgeAsync(List<int> open, Task first)
    {
        var asked = new List<Task> { first };
        for (int turn = 1; turn <= MostHedges && !first.IsCompleted; turn++)
        {
            var late = open.FindAll(index => !_located.IsAnswered(index));
            if (late.Count == 0)
                return;
            var next = AskAsync(late, turn);
            asked.Add(next);
            await Task.WhenAny(first, next).EndsWithinAsync(HedgeAfter, _context.Runtime.Time, _cancel);
            if (next.IsCompleted && !await next)
                break;
        }

        while (asked.Count > 0 && !open.TrueForAll(_located.IsAnswered))
            asked.Remove(await Task.WhenAny(asked));
    }

    private List<Group> GroupByCandidate(List<int> open, int turn)
    {
        var groups = new List<Group>();
        var slots = _context.View.Slots;
        int members = Math.Max(1, _context.View.Members.Count);
        for (int at = 0; at < open.Count; at++)
        {
            if (at % ReadAhead == 0 && turn == 0)
            {
                for (int next = at; next < Math.Min(at + ReadAhead, open.Count); next++)
                    slots.Prefetch(_keys[open[next]].Hash);
            }

            int index = open[at];
            if (CandidateOf(index, turn) is not { } node)
                continue;
            int length = _keys[index].Bytes.Length;
            Group? group = null;
            for (int i = groups.Count - 1; i >= 0 && group is null; i--)
                group = ReferenceEquals(groups[i].Node, node) ? groups[i] : null;
            if (group is null || group.Keys.Count >= Wire.MaxBatch || group.Bytes + length > Wire.BatchBytes)
                groups.Add(group = new Group(node, Math.Min(open.Count - at, 2 * open.Count / members)));
            group.Keys.Add(index);
            group.Bytes += length;
        }

        return groups;
    }

    /// <summary>
    /// Whom to ask about a key in a turn. The order of a round does not change: one that is found to be down meanwhile
    /// would move to the end, and the one behind it, who knows, would never be asked.
    /// </summary>
    private NodeRecord? CandidateOf(int index, int turn)
    {
        if (turn == 0)
            return _context.Candidate(_context.SlotOf(_keys[index]), 0);
        if (_orders is null)
        {
            _orders = [];
            foreach (var group in _first)
            {
                foreach (int asked in group.Keys)
                {
                    var order = _context.CandidatesOf(_context.SlotOf(_keys[asked]));
                    order.RemoveAll(node => node.NodeId == group.Node.NodeId);
                    order.Insert(0, group.Node);
                    _orders.Add(asked, order);
                }
            }
        }

        return _orders.TryGetValue(index, out var known) && turn < known.Count ? known[turn] : null;
    }

    private async Task AskNodeAsync(Group group)
    {
        var keys = new MeshKey[group.Keys.Count];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = _keys[group.Keys[i]];
        var answer = await _context.Calls.LocateAsync(group.Node,
            new LocateRequest(keys, _wants.Mark, _wants.CodesOnly, _wants.Inline, _located.Stale is not null),
            _deadline.AtMost(CallTimeout), _cancel);
        if (!answer.Succeeded || answer.Value.Count != keys.Length)
            return;
        _context.Views.Suggest(answer.Value.View, group.Node);
        _located.Note(group.Keys, answer.Value);
    }

    /// <summary>Keys that go to one node in one request.</summary>
    private sealed class Group(NodeRecord node, int expected)
    {
        public NodeRecord Node => node;

        public List<int> Keys { get; } = new(Math.Min(expected, Wire.MaxBatch));

        public int Bytes { get; set; }
    }
}
