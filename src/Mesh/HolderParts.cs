// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh;

/// <summary>What a node needs to be a holder.</summary>
internal sealed class HolderParts : IDisposable
{
    public HolderParts(FlowContext context, ObjectStore store, OwnIncarnation incarnation,
        MembershipService membership, ClientLimits clients, EvictionLimits limits)
    {
        Store = store;
        Processes = new ClientProcesses(clients, context.Runtime);
        Book = new ReservationBook(store, context.Runtime);
        Processes.OnEnd = Book.End;
        Dropped = new DroppedQueue(context, incarnation);
        Drops = new DropCalls(context);
        Clear = new ClearFlow(context, store);
        Publish = new PublishFlow(context, store, Dropped, Drops, Clear, incarnation);
        Notices = new GroupNotices(context);
        Eviction = new EvictionFlow(context, store, Dropped, Notices, incarnation);
        Retreat = new SegmentRetreat(context, store, Dropped, membership);
        Room = new PeerRoom(context);
        Background = new BackgroundEviction(context, store, Eviction, Room, limits);
        Holder = new HolderService(store, context.Devices, Book, Processes, Publish, Eviction, Clear, incarnation,
            context.Runtime.Policies.Pin)
        {
            ActsOn = () => context.View.Id,
        };
        Reconciler = new HolderReconciler(context, store, Holder, Dropped);
        Inline = new InlineValues(store, incarnation);
        Tiers = new TierMover(context, store, Holder, Dropped, Reconciler);
    }

    public ObjectStore Store { get; }

    /// <summary>Processes of this host that have opened the memory.</summary>
    public ClientProcesses Processes { get; }

    public ReservationBook Book { get; }

    public PublishFlow Publish { get; }

    public HolderService Holder { get; }

    public DroppedQueue Dropped { get; }

    public DropCalls Drops { get; }

    public ClearFlow Clear { get; }

    public GroupNotices Notices { get; }

    /// <summary>Gives up segments of devices.</summary>
    public SegmentRetreat Retreat { get; }

    public PeerRoom Room { get; }

    public BackgroundEviction Background { get; }

    public EvictionFlow Eviction { get; }

    public HolderReconciler Reconciler { get; }

    public InlineValues Inline { get; }

    /// <summary>Moves objects between memory of the host and of devices.</summary>
    public TierMover Tiers { get; }

    public void Start()
    {
        Dropped.Start();
        Reconciler.Start();
        Notices.Start();
        Background.Start();
        Retreat.Start();
        Tiers.Start();
    }

    public void Dispose()
    {
        Dropped.Stop();
        Reconciler.Stop();
        Notices.Stop();
        Background.Stop();
        Retreat.Stop();
        Tiers.Stop();
        Publish.Stop();
        Processes.Dispose();
        Store.Dispose();
    }
}
