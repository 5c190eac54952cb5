// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Makes room at a holder: victims in hand order are proposed to their acting primaries, which refuse those located
/// since the last proposal; no answer within 50 ms counts as yes (rule A3: silence cannot block eviction). Evicts what
/// a reservation lacks, in at most three passes of the hand and one second.
/// </summary>
internal sealed class EvictionFlow(FlowContext context, ObjectStore store, DroppedQueue dropped, GroupNotices notices,
    OwnIncarnation incarnation)
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);
    private const int Passes = 3;
    private long _evictions;
    private long _evictedBytes;

    /// <summary>Objects evicted since the start.</summary>
    public long Evictions => Volatile.Read(ref _evictions);

    /// <summary>Bytes evicted since the start.</summary>
    public long EvictedBytes => Volatile.Read(ref _evictedBytes);

    /// <summary>Reserves, evicting if it must and may.</summary>
    public async Task<MeshResult<Reservation>> ReserveAsync(PutHead head, Deadline deadline, CancellationToken cancel)
    {
        var attributes = new HeldAttributes(head.Pin, head.Group);
        var reservation = store.Reserve(head.Key, head.ObjectId, head.Size, attributes);
        if (reservation.Succeeded || reservation.Error!.Code != MeshErrorCode.NoSpace || !head.MayEvict)
            return reservation;
        var limit = new Deadline(context.Runtime.Time, deadline.AtMost(Longest));
        long proposals = 0;
        long most = Passes * Math.Max(1, store.Usage.Objects);
        var victims = new List<HeldObject>();
        while (!limit.Passed && proposals < most && !cancel.IsCancellationRequested)
        {
            victims.Clear();
            store.ProposeVictims(Math.Max(1, head.Size), victims);
            if (victims.Count == 0)
                break;
            proposals += victims.Count;
            await EvictAsync(victims, cancel);
            reservation = store.Reserve(head.Key, head.ObjectId, head.Size, attributes);
            if (reservation.Succeeded)
                return reservation;
        }

        return reservation;
    }

    /// <summary>Evicts those of <paramref name="victims"/> that their owners give up.</summary>
    public async Task EvictAsync(List<HeldObject> victims, CancellationToken cancel)
    {
        var groups = new List<(NodeRecord? Owner, List<HeldObject> Victims)>();
        foreach (var victim in victims)
        {
            var owner = ActingOwner(victim.Key);
            int at = groups.FindIndex(g => ReferenceEquals(g.Owner, owner) && g.Victims.Count < Wire.MaxBatch / 2);
            if (at < 0)
            {
                groups.Add((owner, []));
                at = groups.Count - 1;
            }

            groups[at].Victims.Add(victim);
        }

        if (groups.Count == 1)
            await ProposeAsync(groups[0].Owner, groups[0].Victims, cancel);
        else
            await Task.WhenAll(groups.ConvertAll(g => ProposeAsync(g.Owner, g.Victims, cancel)));
    }

    private async Task ProposeAsync(NodeRecord? owner, List<HeldObject> victims, CancellationToken cancel)
    {
        OwnerAnswer[]? answers = null;
        if (owner is not null)
        {
            var items = new RetractItem[victims.Count];
            for (int i = 0; i < items.Length; i++)
                items[i] = new RetractItem(victims[i].Key, victims[i].ObjectId, victims[i].Extent.Generation);
            var answer = await context.Calls.RetractAsync(owner, new RetractRequest(incarnation.Value, items,
                false), AnswerTimeout, cancel);
            if (answer.Succeeded && answer.Value.Items.Length == victims.Count)
                answers = answer.Value.Items;
        }

        for (int i = 0; i < victims.Count; i++)
        {
            var victim = victims[i];
            if (answers is not null && answers[i].Code == OwnerCode.Kept)
            {
                store.RefuseVictim(victim);
                continue;
            }

            // Answered or not: the other owners, and this one if it was silent, hear of it until they answer.
            bool told = answers is not null && answers[i].Code == OwnerCode.Yes;
            if (!store.Drop(victim.Key, victim.ObjectId))
                continue;
            Evicted(victim, told ? owner!.NodeId : "");
            if (victim.Attributes.Group is not { Length: > 0 } group)
                continue;
            DropGroup(group);
            notices.Add(group);
        }
    }

    /// <summary>
    /// Evicts what is left here of a group of which a member was given up. Its owners are not asked: heat of one member
    /// cannot keep the others, as a group is of use only as a whole.
    /// </summary>
    /// <returns>How many objects that were.</returns>
    public int DropGroup(string group)
    {
        var members = new List<HeldObject>();
        store.DropGroup(group, members);
        foreach (var member in members)
            Evicted(member, "");
        return members.Count;
    }

    private void Evicted(HeldObject held, string knows)
    {
        Interlocked.Increment(ref _evictions);
        Interlocked.Add(ref _evictedBytes, held.Size);
        dropped.Add(held, held.ObjectId, knows);
    }

    private NodeRecord? ActingOwner(in MeshKey key)
    {
        var view = context.View;
        int slot = view.SlotOf(key.Hash);
        for (int place = 0; place < SlotTable.Places; place++)
        {
            if (view.Owner(slot, place) is { } node && !context.IsDown(node))
                return node;
        }

        return null;
    }
}
