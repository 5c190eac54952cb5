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
    private static readonly TimeSpan HedgeAfter = TimeSpan.FromMilliseconds(30);
    private const int MostHedges = SlotTable.Places - 1;
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(1);

    private readonly FlowContext _context;
    private readonly IReadOnlyList<MeshKey> _keys;
    private readonly bool _mark;
    private readonly Deadline _deadline;
    private readonly CancellationToken _cancel;
    private readonly OwnerAnswer?[] _answers;
    private bool _ended;

    private LocateOperation(FlowContext context, IReadOnlyList<MeshKey> keys, bool mark, Deadline deadline,
        CancellationToken cancel)
    {
        _context = context;
        _keys = keys;
        _mark = mark;
        _deadline = deadline;
        _cancel = cancel;
        _answers = new OwnerAnswer?[keys.Count];
    }

    /// <summary>Locates <paramref name="keys"/>; one answer per position, Yes with a record or Absent.</summary>
    public static async Task<MeshResult<OwnerAnswer>[]> RunAsync(FlowContext context, IReadOnlyList<MeshKey> keys,
        bool mark, Deadline deadline, CancellationToken cancel)
    {
        var operation = new LocateOperation(context, keys, mark, deadline, cancel);
        try
        {
            await operation.RunAsync();
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            // What is not answered yet is reported below.
        }

        var results = new MeshResult<OwnerAnswer>[keys.Count];
        lock (operation._answers)
        {
            operation._ended = true;
            for (int i = 0; i < results.Length; i++)
            {
                results[i] = operation._answers[i] is { } answer
                    ? answer
                    : cancel.IsCancellationRequested
                    ? new MeshError(MeshErrorCode.Cancelled, "locate", "the caller cancelled")
                    : new MeshError(MeshErrorCode.Unavailable, "locate",
                        $"no owner could answer for the key within {deadline.Limit.TotalMilliseconds:0} ms");
            }
        }

        return results;
    }

    private async Task RunAsync()
    {
        var open = new List<int>(_keys.Count);
        for (int i = 0; i < _keys.Count; i++)
            open.Add(i);
        var backoff = default(Backoff);
        while (open.Count > 0)
        {
            for (int turn = 0; turn < 2 * SlotTable.Places && open.Count > 0; turn++)
            {
                if (!await AskAsync(open, turn))
                    break;
                open.RemoveAll(IsAnswered);
                if (_deadline.Passed || _cancel.IsCancellationRequested)
                    return;
            }

            if (open.Count > 0)
                await backoff.PauseAsync(_context, _deadline, _cancel);
            if (_deadline.Passed)
                return;
        }
    }

    private bool IsAnswered(int index) => _answers[index] is not null;

    /// <summary>Asks the <paramref name="turn"/>th candidate of each open key; false when there is none.</summary>
    private async Task<bool> AskAsync(List<int> open, int turn)
    {
        var groups = GroupByCandidate(open, turn);
        if (groups.Count == 0)
            return false;
        var asked = new Task[groups.Count];
        for (int i = 0; i < asked.Length; i++)
            asked[i] = AskNodeAsync(groups[i].Node, groups[i].Keys);
        var all = asked.Length == 1 ? asked[0] : Task.WhenAll(asked);
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
            var late = open.FindAll(index => !IsAnswered(index));
            if (late.Count == 0)
                return;
            var next = AskAsync(late, turn);
            asked.Add(next);
            await Task.WhenAny(first, next).EndsWithinAsync(HedgeAfter, _context.Runtime.Time, _cancel);
            if (next.IsCompleted && !await next)
                break;
        }

        while (asked.Count > 0 && !open.TrueForAll(IsAnswered))
            asked.Remove(await Task.WhenAny(asked));
    }

    private List<(NodeRecord Node, List<int> Keys)> GroupByCandidate(List<int> open, int turn)
    {
        var groups = new List<(NodeRecord Node, List<int> Keys)>();
        var bytes = new List<int>();
        foreach (int index in open)
        {
            var candidates = _context.CandidatesOf(_context.SlotOf(_keys[index]));
            if (turn >= candidates.Count)
                continue;
            var node = candidates[turn];
            int at = groups.FindLastIndex(g => ReferenceEquals(g.Node, node));
            int length = _keys[index].Bytes.Length;
            if (at < 0 || groups[at].Keys.Count >= Wire.MaxBatch || bytes[at] + length > Wire.BatchBytes)
            {
                groups.Add((node, []));
                bytes.Add(0);
                at = groups.Count - 1;
            }

            groups[at].Keys.Add(index);
            bytes[at] += length;
        }

        return groups;
    }

    private async Task AskNodeAsync(NodeRecord node, List<int> indexes)
    {
        var keys = new MeshKey[indexes.Count];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = _keys[indexes[i]];
        var answer = await _context.Calls.LocateAsync(node, new LocateRequest(keys, _mark),
            _deadline.AtMost(CallTimeout), _cancel);
        if (!answer.Succeeded || answer.Value.Items.Length != keys.Length)
            return;
        _context.Views.Suggest(answer.Value.View, node);
        lock (_answers)
        {
            // An answer that comes after the end must not change what is being handed out.
            if (!_ended)
                Note(indexes, answer.Value.Items);
        }
    }

    private void Note(List<int> indexes, OwnerAnswer[] items)
    {
        for (int i = 0; i < items.Length; i++)
        {
            var item = items[i];
            bool usable = item.Code == OwnerCode.Absent || (item.Code == OwnerCode.Yes && item.Record is not null);
            // A Yes is never replaced: a hedge may find what the first one denies, not the other way round.
            if (usable && _answers[indexes[i]] is not { Code: OwnerCode.Yes })
                _answers[indexes[i]] = item;
        }
    }
}
