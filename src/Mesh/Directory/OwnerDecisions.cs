// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// What the acting primary alone decides (rule A6): whether an offered object gets its key, and that a key is removed.
/// It numbers both.
/// </summary>
internal sealed class OwnerDecisions(OwnerService owner, DirectoryTable table, SlotStates states,
    MeshPolicies policies)
{
    private readonly SupersededObjects _superseded = new();

    /// <summary>See <see cref="PublishRequest"/>.</summary>
    public OwnerAnswers Publish(in PublishRequest request)
    {
        var roles = states.Current;
        var view = roles.View;
        int slot = table.SlotOf(request.Key.Hash);
        byte place = roles.PlaceOf(slot);
        if (!owner.IsActing(roles, slot))
            return One(view, OwnerCode.NotOwner);
        if (!owner.MayDecide(slot) || request.Offer.Replicas.Length != 1)
            return One(view, OwnerCode.Unsure);
        // A holder that is new to us: what it offers would be hidden from all who ask here, until we know of it.
        if (!view.IsMember(request.Offer.Replicas[0].Incarnation))
            return One(view, OwnerCode.Unsure);
        ObjectRecord? replaced = null;
        ObjectRecord accepted;
        lock (table.LockOf(slot))
        {
            // A stream of this slot that begins after the view has changed must find what was decided before.
            if (states.Current != roles)
                return One(view, OwnerCode.Unsure);
            if (IsOvertaken(slot, request) is { } late)
                return new OwnerAnswers(view.Id, [late]);
            var version = NextVersion(view, slot, request.Above);
            if (table.TryFind(slot, request.Key, out var present))
            {
                if (Over(view, slot, version, request, present, out replaced) is { } decided)
                    return new OwnerAnswers(view.Id, [decided]);
            }
            else if (!states.MayDeny(slot) && !request.Insist)
            {
                return One(view, OwnerCode.Unsure);
            }

            if (version <= request.Above)
                return One(view, OwnerCode.Unsure);
            accepted = request.Offer with { Version = version, Removed = false, Cleared = table.ClearedOf(slot) };
            owner.Store(slot, request.Key, accepted);
            if (replaced is not null)
                _superseded.Note(replaced.ObjectId);
        }

        // Those before us in the list are unreachable and will not hear of it from the holder.
        for (int before = 0; before < place; before++)
            owner.OnDebt?.Invoke(view.Owner(slot, before)!.NodeId, slot);
        owner.Counters.Accepted();
        var yes = new OwnerAnswer(OwnerCode.Yes, accepted);
        return new OwnerAnswers(view.Id,
            replaced is null ? [yes] : [yes, new OwnerAnswer(OwnerCode.Kept, replaced)]);
    }

    /// <summary>
    /// The answer to an attempt whose object had the key and was replaced since; null to any other. Under the lock of
    /// the slot.
    /// </summary>
    private OwnerAnswer? IsOvertaken(int slot, in PublishRequest request)
    {
        if (!_superseded.Contains(request.Offer.ObjectId))
            return null;
        if (!table.TryFind(slot, request.Key, out var present))
            return new OwnerAnswer(OwnerCode.Kept, request.Offer with { Removed = true, Replicas = [] });
        return present.ObjectId == request.Offer.ObjectId
            ? null
            : new OwnerAnswer(OwnerCode.Kept, present.ToRecord() with { Cleared = table.ClearedOf(slot) });
    }

    /// <summary>See <see cref="OwnerService.Remove"/>.</summary>
    public OwnerAnswers Remove(in MeshKey key, in RecordVersion seen, out ObjectRecord? removed)
    {
        var roles = states.Current;
        var view = roles.View;
        removed = null;
        int slot = table.SlotOf(key.Hash);
        if (!owner.IsActing(roles, slot))
            return One(view, OwnerCode.NotOwner);
        if (!owner.MayDecide(slot))
            return One(view, OwnerCode.Unsure);
        lock (table.LockOf(slot))
        {
            if (states.Current != roles)
                return One(view, OwnerCode.Unsure);
            bool found = table.TryFind(slot, key, out var record);
            // One whose holders are away is removed too: it must not come back with them.
            if (!found || (record.Removed && record.Version >= seen))
            {
                return states.MayDeny(slot)
                    ? One(view, OwnerCode.Absent, found ? record.ToRecord() : null)
                    : One(view, OwnerCode.Unsure);
            }

            var version = NextVersion(view, slot, seen);
            if (version <= record.Version || version <= seen)
                return One(view, OwnerCode.Unsure);
            removed = record.ToRecord();
            var tombstone = new ObjectRecord
            {
                Version = version,
                ObjectId = removed.ObjectId,
                Removed = true,
                Cleared = table.ClearedOf(slot),
            };
            owner.Store(slot, key, tombstone);
            owner.Counters.Removed();
            return One(view, OwnerCode.Yes, tombstone);
        }
    }

    /// <summary>The decision against a record that is here; null when the offer may pass it.</summary>
    private OwnerAnswer? Over(MeshView view, int slot, RecordVersion next, in PublishRequest request, RecordRef present,
        out ObjectRecord? replaced)
    {
        replaced = null;
        bool own = present.ObjectId == request.Offer.ObjectId;
        if (present.Version >= next)
            return new OwnerAnswer(OwnerCode.Unsure);
        // What came after our first attempt stays: that attempt was the one that this put had in the order. A put that
        // nobody has accepted yet comes after whatever is there.
        bool passed = request.Replace && !request.Accepted.IsNone && present.Version > request.Accepted;
        if (present.Removed)
        {
            if (passed || !policies.Tombstone.MayPass(present.ObjectId, request.Offer.ObjectId))
                return new OwnerAnswer(OwnerCode.Kept, present.ToRecord());
            // What the tombstone has stopped until now must be stopped still.
            if (!own)
                _superseded.Note(present.ObjectId);
            return null;
        }

        if (!present.IsVisible(view))
            return null;
        var record = present.ToRecord() with { Cleared = table.ClearedOf(slot) };
        // Ours was numbered below what another owner has: it is numbered anew.
        if (own && record.Version < request.Above)
            return null;
        if (!own && request.Replace)
        {
            if (passed)
                return new OwnerAnswer(OwnerCode.Kept, record);
            replaced = record;
            return null;
        }

        if (!policies.Join.MayJoin(record, request.Offer))
            return new OwnerAnswer(OwnerCode.Kept, record);
        var joined = OwnerService.Union(record, request.Offer);
        if (joined.Replicas.Length > Math.Clamp(request.Wanted, 1, Wire.MaxReplicas))
            return new OwnerAnswer(OwnerCode.Kept, record);
        bool marked = present.Marked;
        owner.Store(slot, request.Key, joined);
        if (marked && table.TryFind(slot, request.Key, out var again))
            again.Marked = true;
        return new OwnerAnswer(OwnerCode.Yes, joined);
    }

    private RecordVersion NextVersion(MeshView view, int slot, RecordVersion above)
    {
        long counter = table.CounterOf(slot);
        if (above.Epoch == view.Id.Epoch && above.Revision == view.Id.Revision)
            counter = Math.Max(counter, above.Counter);
        return new RecordVersion(view.Id.Epoch, view.Id.Revision, counter + 1);
    }

    private static OwnerAnswers One(MeshView view, OwnerCode code, ObjectRecord? record = null) =>
        new(view.Id, [new OwnerAnswer(code, record)]);
}
