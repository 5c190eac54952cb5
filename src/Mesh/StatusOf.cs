// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh;

/// <summary>Gathers a node's status and counters.</summary>
internal static class StatusOf
{
    public static NodeStatus Node(MeshNode node, MeshNodeOptions options, ulong incarnation, PeerHealth health)
    {
        var view = node.View;
        var membership = node.Membership.Status;
        var usage = node.Holder.Store.Usage;
        var shared = node.Holder.Processes.Usage;
        var slots = node.Owner?.States.Count() ?? default;
        var counters = new SortedDictionary<string, long>(StringComparer.Ordinal);
        node.AddCounters(counters);
        return new NodeStatus
        {
            NodeId = options.NodeId,
            Cluster = options.Cluster,
            Version = HostIdentity.Version,
            Incarnation = incarnation.ToString("x16"),
            Session = (view.Find(options.NodeId)?.Session ?? 0).ToString("x"),
            Endpoint = node.Endpoint,
            Ready = node.Ready,
            Degraded = node.Degraded,
            Reason = membership.Degraded ? membership.Reason
                : node.Degraded ? "neither registry nor peers confirm the view"
                : node.NotReadyReason ?? "",
            Registry = options.Registry,
            Authentication = options.Secret is null ? "none" : "secret",
            View = new ViewStatus(view.Id.ToString(), [.. view.Members.Select(m => new MemberStatus(m.NodeId,
                m.Endpoints.Count > 0 ? m.Endpoints[0] : "", m.Ring.Weight, m.Ring.Leaving,
                m.Segments.Sum(s => s.Length),
                m.NodeId == options.NodeId ? "self" : ReachText(health.ReachOf(m.NodeId))))]),
            Slots = new SlotStatus(slots.Primary, slots.Backup, slots.Complete, slots.Incomplete, slots.Lost,
                node.Owner?.Keeper.Debts ?? 0, node.Owner?.Table.Count ?? 0),
            Handover = HandoverOf(node.Owner),
            Life = new LifeStatus(node.Owner?.Guard.Pauses ?? 0, node.Expulsion.Expulsions, node.Expulsion.Renewals,
                node.Owner?.Owner.Confident ?? false),
            Memory = new MemoryStatus(usage.Capacity, usage.Live, usage.Filling, usage.Zombie, usage.Free,
                usage.LargestFree, usage.Objects),
            Tiers = TiersOf(node.Holder.Store),
            SharedMemory = new SharedMemoryStatus(shared.Processes, shared.Views, shared.ViewBytes,
                shared.ReservedBytes),
            Cards = [.. node.Transports?.Cards ?? []],
            Counters = counters,
        };
    }

    public static void Counters(IDictionary<string, long> counters, MeshNode node, NodeTransports? transports,
        MeshOperations? operations)
    {
        var holder = node.Holder;
        counters["evictions"] = holder.Eviction.Evictions;
        counters["evicted_bytes"] = holder.Eviction.EvictedBytes;
        counters["replaced_objects"] = holder.Publish.Replaced;
        counters["remove_alls"] = holder.Clear.Known;
        counters["hard_pinned_bytes"] = holder.Store.Usage.HardPinned;
        counters["unmirrored_puts"] = holder.Publish.Unmirrored;
        counters["differing_slots"] = holder.Reconciler.DifferingSlots;
        counters["superseded_objects"] = holder.Reconciler.Superseded;
        counters["dropped_queue"] = holder.Dropped.Count;
        counters["dropped_overflow"] = holder.Dropped.Overflowed;
        counters["promotions"] = holder.Tiers.Counters.Promotions;
        counters["promoted_bytes"] = holder.Tiers.Counters.PromotedBytes;
        counters["demotions"] = holder.Tiers.Counters.Demotions;
        counters["demoted_bytes"] = holder.Tiers.Counters.DemotedBytes;
        counters["overtaken_tier_moves"] = holder.Tiers.Counters.Overtaken;
        counters["failed_tier_moves"] = holder.Tiers.Counters.Failures;
        counters["reservations"] = holder.Book.Count;
        if (node.Owner is { } owner)
        {
            counters["located_keys"] = owner.Owner.Counters.LocatedKeys;
            counters["accepted_puts"] = owner.Owner.Counters.AcceptedPuts;
            counters["removed_keys"] = owner.Owner.Counters.RemovedKeys;
            counters["retracted_replicas"] = owner.Owner.Counters.RetractedReplicas;
            counters["unclaimed_replicas"] = owner.Owner.Counters.UnclaimedReplicas;
            counters["refused_retracts"] = owner.Owner.Counters.RefusedRetracts;
            counters["handover_rounds"] = owner.Keeper.Puller.Rounds;
            counters["pauses"] = owner.Guard.Pauses;
            counters["swept_records"] = owner.Keeper.Swept;
            counters["streamed_slots"] = owner.Keeper.Puller.StreamedSlots;
            counters["streamed_records"] = owner.Keeper.Puller.StreamedRecords;
            counters["reconciled_slots"] = owner.Keeper.Puller.ReconciledSlots;
            counters["digest_mismatches"] = owner.Keeper.Puller.DigestMismatches;
        }

        counters["garbage_connections"] = node.Handler.GarbageConnections;
        counters["refused_connections"] = node.Server?.Refused ?? 0;
        counters["request_faults"] = node.Handler.Faults;
        counters["connections"] = node.Server?.Limits.Connections ?? 0;
        counters["connections_over_limit"] = node.Server?.Limits.Refused ?? 0;
        counters["stuck_connections"] = node.Server?.Stuck ?? 0;
        counters["waiting_frame_bytes"] = node.Handler.Budget.Bytes;
        counters["unauthenticated_connections"] = node.Handshake.RefusedOffers;
        counters["unauthenticated_peers"] = node.Handshake.RefusedAnswers;
        counters["data_connections"] = transports?.DataServer?.Connections ?? 0;
        counters["data_connections_over_limit"] = transports?.DataServer?.RefusedConnections ?? 0;
        counters["garbage_data_connections"] = transports?.DataServer?.GarbageConnections ?? 0;
        counters["expulsions"] = node.Expulsion.Expulsions;
        counters["renewals"] = node.Expulsion.Renewals;
        counters["reregistrations"] = node.Membership.Status.Reregistrations;
        counters["relists"] = node.Membership.Status.Relists;
        counters["watch_ends"] = node.Membership.Status.WatchEnds;
        if (operations is not null)
        {
            counters["stale_reads"] = operations.StaleReads;
            counters["corrupt_reads"] = operations.CorruptReads;
        }

        Transports(counters, transports);
    }

    private static void Transports(IDictionary<string, long> counters, NodeTransports? transports)
    {
        counters["rail_retries"] = transports?.Rails?.Retries ?? 0;
        counters["rail_pauses"] = transports?.Rails?.Pauses ?? 0;
        counters["rdma_errors"] = transports?.Cards.Sum(card => card.Errors) ?? 0;
        counters["rdma_pauses"] = transports?.Cards.Sum(card => card.Pauses) ?? 0;
        counters["rdma_fallbacks"] = transports?.CardFallbacks ?? 0;
        counters["transport_rdma_read_bytes"] = 0;
        counters["transport_rdma_written_bytes"] = 0;
        foreach (var (name, read, written) in transports?.Plan.Bytes() ?? [])
        {
            counters[$"transport_{name}_read_bytes"] = read;
            counters[$"transport_{name}_written_bytes"] = written;
        }
    }

    private static TierStatus[] TiersOf(ObjectStore store)
    {
        if (store.Tiers is not { } tiers)
            return [];
        return [.. Enum.GetValues<Tier>().Select(tier => (Name: tier.ToString(), Room: tiers.RoomOf(tier)))
            .Select(tier => new TierStatus(tier.Name.ToLowerInvariant(), tier.Room.Capacity,
                tier.Room.Capacity - tier.Room.Free, tier.Room.Free))];
    }

    private static HandoverStatus HandoverOf(OwnerParts? owner)
    {
        if (owner is null)
            return new HandoverStatus(0, 0, 0, 0, 0, 0, 0);
        var (wanted, left, running) = owner.Keeper.Handover;
        var puller = owner.Keeper.Puller;
        return new HandoverStatus(wanted, left, Math.Round(running.TotalSeconds, 1), puller.StreamedSlots,
            puller.ReconciledSlots, puller.StreamedRecords, puller.DigestMismatches);
    }

    private static string ReachText(Reach reach) => reach switch
    {
        Reach.Fine => "fine",
        Reach.Refused => "refused",
        _ => "silent",
    };
}
