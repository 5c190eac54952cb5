// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// The holder's side of reconciliation: about every 30 s, and soon after the mesh has changed, it tells primary and
/// backup of each slot what it has there, as count and digest; where an owner has something else on record, it says it
/// in full, drops what a greater version has replaced, and takes over a greater version of what it has.
/// </summary>
internal sealed class HolderReconciler(FlowContext context, ObjectStore store, HolderService holder,
    DroppedQueue dropped)
{
    private const int PageObjects = 1024;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly WakeSignal _changed = new(context.Runtime.Time);

    /// <summary>Objects dropped because an owner knows a greater version.</summary>
    public long Superseded { get; private set; }

    /// <summary>Slots where an owner had something else on record than is here.</summary>
    public long DifferingSlots { get; private set; }

    public void Start() => _ = context.Runtime.Start(LoopAsync);

    public void Stop() => _stop.Cancel();

    /// <summary>The mesh has changed: messages may have been lost, and owners know less than before.</summary>
    public void MeshChanged() => _changed.Set();

    /// <summary>One round over everything held; false when it is to be repeated soon.</summary>
    public async Task<bool> RoundAsync()
    {
        var view = context.View;
        var claims = Claims(view);
        bool settled = true;
        foreach (var (nodeId, slots) in OwnersOf(view))
        {
            if (view.Find(nodeId) is { } owner && !context.IsDown(owner))
                settled &= await ClaimAsync(owner, slots, claims);
        }

        return settled;
    }

    private async Task LoopAsync()
    {
        var next = Interval;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await _changed.WaitAsync(Jittered(next), _stop.Token);
                await context.Runtime.Delay(Jittered(Soon), _stop.Token);
                next = await RoundAsync() ? Interval : Soon;
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>Half of it to one and a half.</summary>
    private TimeSpan Jittered(TimeSpan time)
    {
        int milliseconds = (int)time.TotalMilliseconds;
        return TimeSpan.FromMilliseconds((milliseconds / 2) + context.Runtime.Random.Next(milliseconds));
    }

    private SlotSummary[] Claims(MeshView view)
    {
        var claims = new SlotSummary[view.Config.Slots];
        for (int slot = 0; slot < claims.Length; slot++)
            claims[slot] = new SlotSummary(slot, 0, 0);
        EachHeld(0, ulong.MaxValue, held =>
        {
            ref var claim = ref claims[view.SlotOf(held.Key.Hash)];
            claim = new SlotSummary(claim.Slot, claim.Count + 1,
                claim.Digest + Directory.RecordDigest.Of(held.Key, holder.RecordOf(held)));
        });
        return claims;
    }

    private void EachHeld(ulong from, ulong to, Action<HeldObject> each)
    {
        var page = new List<HeldObject>();
        int found;
        do
        {
            page.Clear();
            found = store.ListRange(from, to, PageObjects, page);
            page.ForEach(each);
            if (found > 0)
                from = page[^1].Key.Hash + 1;
        }
        while (found >= PageObjects && from != 0);
    }

    private static SortedDictionary<string, List<int>> OwnersOf(MeshView view)
    {
        var owners = new SortedDictionary<string, List<int>>(StringComparer.Ordinal);
        for (int slot = 0; slot < view.Config.Slots; slot++)
        {
            for (int place = 0; place <= 1; place++)
            {
                if (view.Owner(slot, place) is not { } owner)
                    continue;
                if (!owners.TryGetValue(owner.NodeId, out var slots))
                    owners.Add(owner.NodeId, slots = []);
                slots.Add(slot);
            }
        }

        return owners;
    }

    /// <summary>
    /// Tells an owner what is here of its slots; false when the other owner of one is to be told again.
    /// </summary>
    private async Task<bool> ClaimAsync(NodeRecord owner, List<int> slots, SlotSummary[] claims)
    {
        bool settled = true;
        for (int at = 0; at < slots.Count;)
        {
            var set = new SlotSet(claims.Length);
            var summaries = new List<SlotSummary>();
            for (; at < slots.Count && summaries.Count < Wire.MaxBatch; at++)
            {
                set.Add(slots[at]);
                if (claims[slots[at]].Count > 0)
                    summaries.Add(claims[slots[at]]);
            }

            var answer = await context.Calls.ClaimAsync(owner,
                new ClaimRequest(holder.Incarnation, set, [.. summaries]), CallTimeout, _stop.Token);
            if (!answer.Succeeded)
                return false;
            for (int slot = 0; slot < Math.Min(claims.Length, answer.Value.Differ.Capacity); slot++)
            {
                if (answer.Value.Differ.Contains(slot) && set.Contains(slot))
                    settled &= await SettleAsync(owner, slot);
            }
        }

        return settled;
    }

    private async Task<bool> SettleAsync(NodeRecord owner, int slot)
    {
        DifferingSlots++;
        // Before the list: what becomes an object after this is not missing from it.
        var open = store.OpenWords();
        var (from, to) = context.View.HashesOf(slot);
        var held = new List<HeldObject>();
        EachHeld(from, to, held.Add);
        var records = held.ConvertAll(item => new KeyedRecord(item.Key, holder.RecordOf(item)));
        var batches = Batches.Of(records).ToList();
        // What is more than a frame is told as before: what is missing is then left to readers, who find out.
        bool whole = batches.Count <= 1 && open.Words.Length <= SettleRequest.MostOpen;
        int at = 0;
        bool settled = true;
        for (int i = 0; i < Math.Max(1, batches.Count); i++)
        {
            KeyedRecord[] batch = batches.Count == 0 ? [] : batches[i];
            var answer = whole
                ? await context.Calls.SettleAsync(owner, new SettleRequest(holder.Incarnation, slot, open, batch),
                    CallTimeout, _stop.Token)
                : await context.Calls.MirrorAsync(owner, new MirrorRequest(batch), CallTimeout, _stop.Token);
            if (!answer.Succeeded || answer.Value.Items.Length != batch.Length)
                return false;
            for (int k = 0; k < batch.Length; k++)
                settled &= Heed(held[at + k], answer.Value.Items[k]);
            at += batch.Length;
        }

        return settled;
    }

    /// <summary>What an owner says of an object; false when the other owner has to be told something new.</summary>
    private bool Heed(HeldObject item, in OwnerAnswer answer)
    {
        if (answer is { Code: OwnerCode.Kept, Record: { } newer })
        {
            if (!newer.Removed && newer.ObjectId == item.ObjectId)
                return newer.Version <= item.Version || !store.SetVersion(item.Key, item.ObjectId, newer.Version);
            if (!store.Drop(item.Key, item.ObjectId))
                return true;
            // The other owner still names it.
            Superseded++;
            return false;
        }

        // Evicted while we told of it: the owner must not keep what we just said.
        if (!store.TryFind(item.Key, out var still) || still.ObjectId != item.ObjectId)
            dropped.Add(item, item.ObjectId, "");
        return true;
    }
}
