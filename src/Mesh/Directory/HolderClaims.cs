// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// The owner's side of reconciliation: compares what a holder says it has with what is on record for it, slot by slot,
/// and where they differ takes the holder's word, for what it has and for what it has not. It heals every message that
/// was lost between the two.
/// </summary>
internal sealed class HolderClaims(DirectoryTable table, SlotStates states, OwnerService owner)
{
    /// <summary>See <see cref="ClaimRequest"/>; slots that are not ours agree.</summary>
    public ClaimAnswer Claim(in ClaimRequest request)
    {
        var differ = new SlotSet(new byte[request.Slots.Bits.Length]);
        var claimed = new Dictionary<int, SlotSummary>(request.Summaries.Length);
        foreach (var summary in request.Summaries)
            claimed[summary.Slot] = summary;
        int end = Math.Min(request.Slots.Capacity, table.Slots);
        for (int slot = 0; slot < end; slot++)
        {
            if (!request.Slots.Contains(slot) || !states.Owns(slot))
                continue;
            var known = new SlotSummary(slot, 0, 0);
            if (table.CountOf(slot) > 0)
            {
                lock (table.LockOf(slot))
                    known = table.SummarizeOf(slot, request.Incarnation);
            }

            if (known != claimed.GetValueOrDefault(slot, new SlotSummary(slot, 0, 0)))
                differ.Add(slot);
        }

        return new ClaimAnswer(differ);
    }

    /// <summary>See <see cref="SettleRequest"/>.</summary>
    public OwnerAnswers Settle(in SettleRequest request)
    {
        // First: what is no more must not win against what took its place there.
        if (request.Slot >= 0 && request.Slot < table.Slots)
            Forget(request);
        return owner.Mirror(new MirrorRequest(request.Records));
    }

    private void Forget(in SettleRequest request)
    {
        var has = new HashSet<ulong>();
        foreach (var (_, record) in request.Records)
        {
            // A later copy of one object takes the place of its earlier one when it is applied.
            has.Add(record.ObjectId);
        }

        ulong incarnation = request.Incarnation;
        var open = request.Open;
        var gone = new List<KeyedRecord>();
        lock (table.LockOf(request.Slot))
        {
            table.CopySlot(request.Slot, gone, record => !record.Removed
                && record.ReplicaOf(incarnation) is { Incarnation: not 0 } replica
                && !has.Contains(record.ObjectId) && open.IsSettled(replica.Generation));
            foreach (var (key, record) in gone)
            {
                var left = Array.FindAll(record.Replicas, replica => replica.Incarnation != incarnation);
                if (left.Length == 0)
                    table.Remove(request.Slot, key);
                else
                    owner.Store(request.Slot, key, record with { Replicas = left });
            }
        }

        owner.Counters.Unclaimed(gone.Count);
    }
}
