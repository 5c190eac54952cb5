// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// The receiving side of a hand-over: asks the owners of this view and of the one before, one after the other, for
/// what they have of a set of slots; what no complete owner could give is reconciled with every holder.
/// </summary>
internal sealed class SlotPuller
{
    private static readonly TimeSpan PageTimeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan NotReadyPause = TimeSpan.FromMilliseconds(20);
    private const int NotReadyTries = 25;

    private readonly string _nodeId;
    private readonly SlotStates _states;
    private readonly OwnerService _owner;
    private readonly MeshCalls _calls;
    private readonly MeshRuntime _runtime;
    private readonly ILogger _log;

    public SlotPuller(string nodeId, SlotStates states, OwnerService owner, MeshCalls calls,
        MeshRuntime runtime)
    {
        _nodeId = nodeId;
        _states = states;
        _owner = owner;
        _calls = calls;
        _runtime = runtime;
        _log = runtime.Log.CreateLogger("mesh.slots");
    }

    /// <summary>Hand-overs begun: times that slots were asked for.</summary>
    public long Rounds { get; private set; }

    /// <summary>Slots made complete by a stream whose digest agreed.</summary>
    public long StreamedSlots { get; private set; }

    /// <summary>Slots made complete by the holders.</summary>
    public long ReconciledSlots { get; private set; }

    /// <summary>Records received in streams.</summary>
    public long StreamedRecords { get; private set; }

    /// <summary>Slots whose stream did not add up to its digest.</summary>
    public long DigestMismatches { get; private set; }

    /// <summary>Tries to make every slot of <paramref name="need"/> complete, once; how many it made so.</summary>
    public async Task<int> CompleteAsync(SlotSet need, MeshView previous, CancellationToken cancel)
    {
        var view = _states.Current.View;
        long stamp = _states.Stamp;
        Rounds++;
        long start = _runtime.Time.GetTimestamp();
        await RenewAsync(view, need, stamp, cancel);
        int wanted = need.Count;
        for (int turn = 0; turn < 2 * SlotTable.Places && need.Count > 0; turn++)
        {
            var source = turn < SlotTable.Places ? view : previous;
            if (source.Config.Slots != view.Config.Slots)
                break;
            var bySource = GroupBySource(need, source, turn % SlotTable.Places, view);
            foreach (var (nodeId, set) in bySource)
                await PullAsync(view, view.Find(nodeId)!, set, need, stamp, cancel);
            if (_states.Current.View.Id != view.Id || cancel.IsCancellationRequested)
                return wanted - need.Count;
        }

        int streamed = wanted - need.Count;
        bool reconciled = need.Count == 0 || await ReconcileAsync(view, need, stamp, cancel);
        int completed = reconciled ? wanted : streamed;
        _log.Log(completed > 0 ? LogLevel.Information : LogLevel.Debug,
            "slots_completed view={View} wanted={Wanted} streamed={Streamed} reconciled={Reconciled} "
            + "ms={Milliseconds:0}",
            view.Id, wanted, streamed, reconciled ? wanted - streamed : 0,
            _runtime.Time.GetElapsedTime(start).TotalMilliseconds);
        return completed;
    }

    /// <summary>
    /// Asks the other owner of each slot that is suspended whether it is complete, and has learnt nothing from others
    /// since we doubt: what it has learnt then it has not told us.
    /// </summary>
    private async Task RenewAsync(MeshView view, SlotSet need, long stamp, CancellationToken cancel)
    {
        var suspended = new SlotSet(_states.Slots);
        for (int slot = 0; slot < _states.Slots; slot++)
        {
            if (need.Contains(slot) && _states.IsSuspended(slot))
                suspended.Add(slot);
        }

        if (suspended.Count == 0)
            _states.CountSuspended();
        for (int place = 0; place <= 1 && suspended.Count > 0; place++)
        {
            foreach (var (nodeId, set) in GroupBySource(suspended, view, place, view))
            {
                var answer = await _calls.SlotStateAsync(view.Find(nodeId)!, new SlotStateRequest(view.Id, set),
                    PageTimeout, cancel);
                var doubted = _runtime.Time.GetElapsedTime(_states.SuspendedSince);
                bool knew = answer.Succeeded && answer.Value.LearntMilliseconds > doubted.TotalMilliseconds;
                for (int slot = 0; knew && slot < _states.Slots; slot++)
                {
                    if (set.Contains(slot) && answer.Value.Complete.Contains(slot)
                        && _states.SetComplete(slot, _states.PlaceOf(slot), stamp))
                        need.Remove(slot);
                }
            }
        }
    }

    private List<(string NodeId, SlotSet Set)> GroupBySource(SlotSet need, MeshView source, int place, MeshView view)
    {
        var groups = new SortedDictionary<string, SlotSet>(StringComparer.Ordinal);
        for (int slot = 0; slot < _states.Slots; slot++)
        {
            if (!need.Contains(slot) || source.Owner(slot, place) is not { } node || node.NodeId == _nodeId)
                continue;
            if (_states.IsApart(slot))
                continue;
            if (view.Find(node.NodeId, node.Incarnation) is null || _calls.Links.IsDown(node))
                continue;
            if (!groups.TryGetValue(node.NodeId, out var set))
                groups.Add(node.NodeId, set = new SlotSet(_states.Slots));
            set.Add(slot);
        }

        return [.. groups.Select(g => (g.Key, g.Value))];
    }

    private async Task PullAsync(MeshView view, NodeRecord source, SlotSet set, SlotSet need, long stamp,
        CancellationToken cancel)
    {
        int from = 0, notReady = 0;
        ulong position = 0;
        Begun? begun = null;
        while (from < _states.Slots && !cancel.IsCancellationRequested)
        {
            var request = new SlotPullRequest(view.Id, from, set, position);
            var page = await _calls.PullSlotsAsync(source, request, PageTimeout, cancel);
            if (!page.Succeeded || _states.Current.View.Id != view.Id)
                return;
            if (!page.Value.Ready)
            {
                if (++notReady > NotReadyTries)
                    return;
                await _runtime.Delay(NotReadyPause, cancel);
                continue;
            }

            bool goesOn = page.Value.Through > from || (page.Value.Through == from && page.Value.Position > position);
            if (!goesOn)
                return;
            begun = Take(page.Value, new Pull(view, source, set, need, stamp), from, begun);
            (from, position) = (page.Value.Through, page.Value.Position);
        }
    }

    /// <summary>Takes a page; what is known of the slot it ends within, or null.</summary>
    private Begun? Take(in SlotPage page, in Pull pull, int from, Begun? begun)
    {
        var received = new Dictionary<int, (int Count, ulong Digest)>();
        foreach (var (key, record) in page.Records)
        {
            // Not counted: the slot must not pass for complete.
            if (_owner.Apply(key, record).Code == OwnerCode.Unsure)
                continue;
            int slot = _states.Current.View.SlotOf(key.Hash);
            var (count, digest) = received.GetValueOrDefault(slot);
            received[slot] = (count + 1, digest + RecordDigest.Of(key, record));
        }

        StreamedRecords += page.Records.Length;
        var announced = new Dictionary<int, SlotSummary>();
        foreach (var summary in page.Summaries)
            announced[summary.Slot] = summary;
        for (int slot = from; slot < page.Through; slot++)
        {
            if (!pull.Slots.Contains(slot) || !IsWhole(page, slot, begun))
                continue;
            // What the present owners have accepted since is known to one who had the slot before only as far as they
            // told it; and nobody tells a third owner, who may come to act for them.
            if ((_states.IsDoubted(slot) || !_states.Owns(slot))
                && pull.View.PlaceOf(slot, pull.Source.NodeId) is not (0 or 1))
                continue;
            if (!TryComplete(slot, pull.Stamp))
                continue;
            pull.Need.Remove(slot);
            StreamedSlots++;
            _states.Learnt(_runtime.Time.GetTimestamp());
        }

        return page.Position == 0 ? null : new Begun(page.Through, page.Stamp, IsWhole(page, page.Through, begun));

        bool IsWhole(in SlotPage page, int slot, Begun? begun)
        {
            // Its source was complete all the while, from the first part to this one.
            if (begun?.Slot == slot && (!begun.Value.Whole || begun.Value.Stamp != page.Stamp))
                return false;
            return page.Complete.Contains(slot)
                && Agrees(slot, announced.GetValueOrDefault(slot), received.GetValueOrDefault(slot));
        }
    }

    /// <summary>
    /// Marks a slot complete; not as a third owner that acts no longer, as nobody tells it what is accepted from then
    /// on. Looked at after it as well: whoever comes back meanwhile finds it complete, or we find that he is back.
    /// </summary>
    private bool TryComplete(int slot, long stamp)
    {
        byte place = _states.PlaceOf(slot);
        if (!MayBe() || !_states.SetComplete(slot, place, stamp))
            return false;
        if (MayBe())
            return true;
        _states.SetIncomplete(slot);
        return false;

        bool MayBe() => place <= 1 || _owner.IsActing(slot);
    }

    private bool Agrees(int slot, in SlotSummary announced, in (int Count, ulong Digest) received)
    {
        if (received.Count == announced.Count && received.Digest == announced.Digest)
            return true;
        DigestMismatches++;
        _log.LogWarning("slot_digest_mismatch slot={Slot} expected={Expected} got={Got}", slot, announced.Count,
            received.Count);
        return false;
    }

    /// <summary>Asks every member what it holds of the slots; only if all answer, the slots are complete.</summary>
    private async Task<bool> ReconcileAsync(MeshView view, SlotSet need, long stamp, CancellationToken cancel)
    {
        foreach (var member in view.Members)
        {
            if (cancel.IsCancellationRequested || !await CollectAsync(view, member, need, cancel))
                return false;
        }

        if (_states.Current.View.Id != view.Id)
            return false;
        for (int slot = 0; slot < _states.Slots; slot++)
        {
            if (!need.Contains(slot))
                continue;
            if (!TryComplete(slot, stamp))
                return false;
            ReconciledSlots++;
            _states.Learnt(_runtime.Time.GetTimestamp());
        }

        return true;
    }

    /// <summary>Takes all that a holder has of some slots; false when the view changed or it did not answer.</summary>
    public async Task<bool> CollectAsync(MeshView view, NodeRecord member, SlotSet need, CancellationToken cancel)
    {
        ulong from = 0;
        do
        {
            var request = new HolderListRequest(need, _states.Slots, from, []);
            var page = await _calls.ListAsync(member, request, PageTimeout, cancel);
            if (!page.Succeeded || _states.Current.View.Id != view.Id || !page.Value.IsOf(view.Id))
                return false;
            foreach (var (key, record) in page.Value.Records)
            {
                if (_owner.Apply(key, record).Code == OwnerCode.Unsure)
                    return false;
            }

            if (page.Value.NextHash != 0 && page.Value.NextHash <= from)
                return false;
            from = page.Value.NextHash;
        }
        while (from != 0);

        return true;
    }

    /// <summary>A stream from one source.</summary>
    private readonly record struct Pull(MeshView View, NodeRecord Source, SlotSet Slots, SlotSet Need, long Stamp);

    /// <summary>A slot of which the parts so far were taken, and whether all of them agreed.</summary>
    private readonly record struct Begun(int Slot, long Stamp, bool Whole);
}
