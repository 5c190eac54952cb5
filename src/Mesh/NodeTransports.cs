// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh;

/// <summary>The transports of a node, and the serving side of its data lane.</summary>
internal sealed class NodeTransports : IAsyncDisposable
{
    /// <summary>Largest read that goes over the control channel although a bulk transport is there, in bytes.</summary>
    private const long SmallRead = 64 * 1024;

    private NodeTransports(TransferPlan plan, Action<IPeerConnection, Hello>? dataLane)
    {
        Plan = plan;
        DataLane = dataLane;
    }

    public TransferPlan Plan { get; }

    /// <summary>Takes over a connection of the data lane; null where there is no such lane (simulation).</summary>
    public Action<IPeerConnection, Hello>? DataLane { get; }

    /// <summary>The transports of a node, or of a client, which holds nothing.</summary>
    public static NodeTransports Create(FlowContext context, HolderParts? holder, string bootId)
    {
        var transports = new List<ITransport>();
        if (holder is not null)
            transports.Add(new SelfTransport(context.NodeId, holder.Store, holder.Book));
        transports.Add(new ControlTransport(context.Calls, Wire.MaxInline));
        return new NodeTransports(new TransferPlan(transports), null);
    }

    public ValueTask DisposeAsync() => Plan.DisposeAsync();
}
