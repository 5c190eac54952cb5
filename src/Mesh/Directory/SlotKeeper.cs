// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// The background flow that makes slots complete (rule A11): streams them from a complete owner, or has every holder
/// reconcile them; drops lost slots once their new owners are complete; pays mirrors owed to owners that were away.
/// One loop, woken by a new view, a changed reach, or a debt.
/// </summary>
internal sealed class SlotKeeper
{
    private static readonly TimeSpan IdlePause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan BusyPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestBusyPause = TimeSpan.FromMilliseconds(500);
    private const int SweptSlotsPerRound = 2048;

    private readonly string _nodeId;
    private readonly DirectoryTable _table;
    private readonly SlotStates _states;
    private readonly OwnerService _owner;
    private readonly SlotPuller _puller;
    private readonly MeshCalls _calls;
    private readonly Func<NodeRecord, bool> _isUnreachable;
    private readonly MeshRuntime _runtime;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<string, HashSet<int>> _debts = [];
    private readonly WakeSignal _wake;
    private MeshView _previous = MeshView.Empty;
    private readonly IGoneHolders _gone;
    private readonly RingWitnesses _witnesses;
    private readonly HandoverProgress _progress;
    private int _changes;
    private int _sweptSlot;

    public SlotKeeper(string nodeId, DirectoryTable table, SlotStates states, OwnerService owner, MeshCalls calls,
        Func<NodeRecord, bool> isUnreachable, TimeSpan leaseTtl, MeshRuntime runtime)
    {
        _gone = runtime.Policies.Gone(runtime.Time, 2 * leaseTtl);
        _nodeId = nodeId;
        _table = table;
        _states = states;
        _owner = owner;
        _calls = calls;
        _isUnreachable = isUnreachable;
        _runtime = runtime;
        _wake = new WakeSignal(runtime.Time);
        _log = runtime.Log.CreateLogger("mesh.slots");
        _witnesses = new RingWitnesses(states, calls, runtime);
        _progress = new HandoverProgress(runtime.Time, _log);
        _puller = new SlotPuller(nodeId, states, owner, calls, runtime);
        owner.OnDebt = Owe;
    }

    /// <summary>Slots owed to owners that were away when they were written to.</summary>
    public int Debts
    {
        get
        {
            lock (_lock)
                return _debts.Values.Sum(slots => slots.Count);
        }
    }

    /// <summary>Tombstones and replicas of vanished holders that were forgotten.</summary>
    public long Swept { get; private set; }

    /// <summary>The hand-over that goes on, if one does.</summary>
    public Handover Handover => _progress.Now;

    /// <summary>What the streams have done.</summary>
    public SlotPuller Puller => _puller;

    public void Start() => _ = _runtime.Start(LoopAsync);

    public void Stop()
    {
        _stop.Cancel();
        Wake();
    }

    /// <summary>A new view: states move, then the loop makes complete what is not.</summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        _states.Adopt(previous, next);
        _gone.Adopt(previous, next);
        lock (_lock)
            _previous = next.HasSharesOf(previous) ? _previous : previous;
        Interlocked.Increment(ref _changes);
        Wake();
    }

    /// <summary>
    /// Another owner did not answer a ping: where the ways between us are cut, it may soon act for slots that we share,
    /// and accept what we do not hear of. It waits for three pings in vain before it does (rule A7), we not for one.
    /// </summary>
    public void Missed(NodeRecord node)
    {
        _states.Missed.Note(node.NodeId);
        _states.SuspendShared(node.NodeId, gone: false, _runtime.Time.GetTimestamp());
        // No change that gives hope of more: while it is silent the rounds go on becoming fewer.
        _wake.Set();
    }

    /// <summary>Another owner was lost from sight or came back (rule A7).</summary>
    public void ReachChanged(NodeRecord node, Reach before, Reach now)
    {
        // Back after a refusal: it lived, only the connection had broken, and it may have decided meanwhile.
        if (before == Reach.Refused && now == Reach.Fine)
            Missed(node);
        // It spoke for those whom it hears and we do not: without it one of them may act.
        if (now == Reach.Refused)
            _states.SuspendShared(node.NodeId, gone: true, _runtime.Time.GetTimestamp());
        // A third owner is complete only while it acts: nobody mirrors to it otherwise.
        for (int slot = 0; slot < _states.Slots && now == Reach.Fine; slot++)
        {
            if (_states.PlaceOf(slot) is 2 or 3 && _states.IsComplete(slot))
                _states.SetIncomplete(slot);
        }

        Interlocked.Increment(ref _changes);
        Wake();
    }

    private void Owe(string nodeId, int slot)
    {
        // Only members are owed anything: names from the network are not kept.
        if (nodeId == _nodeId || _states.Current.View.Find(nodeId) is null)
            return;
        lock (_lock)
        {
            if (!_debts.TryGetValue(nodeId, out var slots))
                _debts.Add(nodeId, slots = []);
            slots.Add(slot);
        }

        Wake();
    }

    /// <summary>Has the loop look at once.</summary>
    public void Wake() => _wake.Set();

    private async Task LoopAsync()
    {
        var pause = BusyPause;
        int changes = 0;
        while (!_stop.IsCancellationRequested)
        {
            bool idle = true;
            try
            {
                if (_states.Doubt is { } doubt)
                    _states.Settle(doubt, await _witnesses.RingSinceAsync(doubt.Id, _stop.Token));
                var need = Needed();
                _progress.Note(need.Count);
                if (need.Count > 0)
                {
                    MeshView previous;
                    lock (_lock)
                        previous = _previous;
                    int completed = await _puller.CompleteAsync(need, previous, _stop.Token);
                    idle = false;
                    // While a member is silent perhaps nothing can be made complete: it is tried less and less often.
                    bool hopeful = completed > 0 || changes != Volatile.Read(ref _changes);
                    changes = Volatile.Read(ref _changes);
                    pause = hopeful ? BusyPause : pause * 2 < LongestBusyPause ? pause * 2 : LongestBusyPause;
                    _progress.Note(Needed().Count);
                }

                idle &= await AskReturnedAsync();
                idle &= await PayDebtsAsync();
                await DropLostAsync();
                Sweep();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // The loop must outlive a fault of one round: the next one starts from the state as it is.
                _log.LogError(e, "slot_round_failed");
            }

            await SleepAsync(idle ? IdlePause : pause);
        }
    }

    private SlotSet Needed()
    {
        var need = new SlotSet(_states.Slots);
        var view = _states.Current.View;
        for (int slot = 0; slot < _states.Slots; slot++)
        {
            byte place = _states.PlaceOf(slot);
            if (_states.IsComplete(slot) || place == SlotStates.NoPlace)
                continue;
            if (place <= 1 || (view.Owner(slot, 0) is { } first && _isUnreachable(first) && _owner.IsActing(slot)))
                need.Add(slot);
        }

        return need;
    }

    /// <summary>Has holders that are back tell what they have of our slots; true when none is left to ask.</summary>
    private async Task<bool> AskReturnedAsync()
    {
        if (!_states.Returned.Any)
            return true;
        var view = _states.Current.View;
        var owned = new SlotSet(_states.Slots);
        for (int slot = 0; slot < _states.Slots; slot++)
        {
            if (_states.PlaceOf(slot) != SlotStates.NoPlace)
                owned.Add(slot);
        }

        foreach (var holder in _states.Returned.In(view))
        {
            if (!_isUnreachable(holder) && await _puller.CollectAsync(view, holder, owned, _stop.Token))
                _states.Returned.Told(holder);
        }

        return !_states.Returned.Any;
    }

    /// <summary>Mirrors what is owed to owners that can be reached again; true when nothing is left to try.</summary>
    private async Task<bool> PayDebtsAsync()
    {
        (string NodeId, int[] Slots)[] debts;
        lock (_lock)
            debts = [.. _debts.Select(d => (d.Key, d.Value.Take(Wire.MaxBatch).ToArray()))];
        bool idle = true;
        foreach (var (nodeId, slots) in debts)
        {
            if (_states.Current.View.Find(nodeId) is not { } node)
            {
                lock (_lock)
                    _debts.Remove(nodeId);
                continue;
            }

            if (_isUnreachable(node))
                continue;
            idle = false;
            foreach (int slot in slots)
            {
                if (!await PayAsync(node, slot))
                    break;
                lock (_lock)
                {
                    if (_debts.TryGetValue(nodeId, out var left) && left.Remove(slot) && left.Count == 0)
                        _debts.Remove(nodeId);
                }
            }
        }

        return idle;
    }

    private async Task<bool> PayAsync(NodeRecord node, int slot)
    {
        var records = new List<KeyedRecord>();
        lock (_table.LockOf(slot))
            _table.CopySlot(slot, records);
        _owner.Tombstones.Send(records);
        foreach (var batch in Batches.Of(records))
        {
            var answer = await _calls.MirrorAsync(node, new MirrorRequest(batch), TimeSpan.FromSeconds(1), _stop.Token);
            if (!answer.Succeeded)
                return false;
        }

        return true;
    }

    /// <summary>
    /// Drops the records of slots that others own, once primary and backup say that they are complete.
    /// </summary>
    private async Task DropLostAsync()
    {
        var view = _states.Current.View;
        var asked = new Dictionary<string, SlotSet>(StringComparer.Ordinal);
        var candidates = new List<int>();
        for (int slot = 0; slot < _states.Slots; slot++)
        {
            if (_states.PlaceOf(slot) <= 1 || (_table.CountOf(slot) == 0 && !_states.IsLost(slot)))
                continue;
            candidates.Add(slot);
            for (int place = 0; place <= 1; place++)
            {
                if (view.Owner(slot, place) is not { } owner)
                    continue;
                if (!asked.TryGetValue(owner.NodeId, out var set))
                    asked.Add(owner.NodeId, set = new SlotSet(_states.Slots));
                set.Add(slot);
            }
        }

        if (candidates.Count == 0)
            return;
        var complete = new Dictionary<string, SlotSet>(StringComparer.Ordinal);
        foreach (var (nodeId, set) in asked.OrderBy(a => a.Key, StringComparer.Ordinal))
        {
            var answer = await _calls.SlotStateAsync(view.Find(nodeId)!, new SlotStateRequest(view.Id, set),
                TimeSpan.FromSeconds(1), _stop.Token);
            if (answer.Succeeded && answer.Value.View.Digest == view.Id.Digest)
                complete[nodeId] = answer.Value.Complete;
        }

        if (_states.Current.View.Id != view.Id)
            return;
        foreach (int slot in candidates)
        {
            // Where nobody owns the slot nobody has taken it over.
            if (view.Owner(slot, 0) is not null && Has(view.Owner(slot, 0), slot) && Has(view.Owner(slot, 1), slot))
                Drop(slot);
        }

        bool Has(NodeRecord? owner, int slot) =>
            owner is null || (complete.TryGetValue(owner.NodeId, out var set) && set.Contains(slot));
    }

    private void Drop(int slot)
    {
        lock (_table.LockOf(slot))
        {
            if (_states.PlaceOf(slot) <= 1)
                return;
            _states.SetIncomplete(slot);
            _table.Clear(slot);
        }
    }

    private void Sweep()
    {
        var view = _states.Current.View;
        Func<ulong, bool> isGone = holder => _gone.IsGone(holder, view);
        for (int i = Math.Min(SweptSlotsPerRound, _states.Slots); i > 0; i--)
        {
            _sweptSlot = (_sweptSlot + 1) % _states.Slots;
            Swept += _owner.Sweep(_sweptSlot, TombstoneClock.Life, isGone);
        }
    }

    private async Task SleepAsync(TimeSpan pause)
    {
        try
        {
            await _wake.WaitAsync(pause, _stop.Token);
        }
        catch (OperationCanceledException)
        {
            // The loop looks at the token.
        }
    }
}
