// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh;

/// <summary>What a node needs to be a holder.</summary>
internal sealed class HolderParts : IDisposable
{
    public HolderParts(FlowContext context, ObjectStore store, ulong incarnation)
    {
        Store = store;
        Book = new ReservationBook(store, context.Runtime);
        Dropped = new DroppedQueue(context, incarnation);
        Publish = new PublishFlow(context, store, Dropped, incarnation);
        Holder = new HolderService(store, Book, Publish, incarnation);
        Eviction = new EvictionFlow(context, store, Dropped, incarnation);
        Reconciler = new HolderReconciler(context, store, Holder, Dropped);
        Inline = new InlineValues(store, incarnation);
    }

    public ObjectStore Store { get; }

    public ReservationBook Book { get; }

    public PublishFlow Publish { get; }

    public HolderService Holder { get; }

    public DroppedQueue Dropped { get; }

    public EvictionFlow Eviction { get; }

    public HolderReconciler Reconciler { get; }

    public InlineValues Inline { get; }

    public void Start()
    {
        Dropped.Start();
        Reconciler.Start();
    }

    public void Dispose()
    {
        Dropped.Stop();
        Reconciler.Stop();
        Store.Dispose();
    }
}
