// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh;

/// <summary>What a node needs to be a holder.</summary>
internal sealed class HolderParts : IDisposable
{
    public HolderParts(FlowContext context, ObjectStore store, ulong incarnation, ClientLimits limits)
    {
        Store = store;
        Processes = new ClientProcesses(limits, context.Runtime);
        Book = new ReservationBook(store, context.Runtime);
        Processes.OnEnd = Book.End;
        Dropped = new DroppedQueue(context, incarnation);
        Publish = new PublishFlow(context, store, Dropped, incarnation);
        Holder = new HolderService(store, Book, Processes, Publish, incarnation);
        Eviction = new EvictionFlow(context, store, Dropped, incarnation);
        Reconciler = new HolderReconciler(context, store, Holder, Dropped);
        Inline = new InlineValues(store, incarnation);
    }

    public ObjectStore Store { get; }

    /// <summary>Processes of this host that have opened the memory.</summary>
    public ClientProcesses Processes { get; }

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
        Processes.Dispose();
        Store.Dispose();
    }
}
