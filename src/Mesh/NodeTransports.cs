// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh;

/// <summary>The transports of a node or client, and of a node the serving side of its bulk lanes.</summary>
internal sealed class NodeTransports : IAsyncDisposable
{
    /// <summary>Largest read that goes over the control channel although a bulk transport is there, in bytes.</summary>
    private const long SmallRead = 64 * 1024;

    private readonly TcpTransport? _tcp;
    private readonly ShmTransport? _shm;
    private readonly TcpDataServer? _tcpServer;
    private readonly ShmServer? _shmServer;

    private NodeTransports(FlowContext context, HolderParts? holder, PeerDialer? dialer, IReadOnlyList<string> rails)
    {
        var transports = new List<ITransport>();
        if (holder is not null)
            transports.Add(new SelfTransport(context.Calls.IsSelf, holder.Store, holder.Book, context.Runtime.Time));
        if (context.Runtime.MoreTransports is { } more)
            transports.AddRange(more(new TransportParts(context.Runtime, holder?.Store, dialer)));
        if (dialer is null)
        {
            transports.Add(new ControlTransport(context.Calls, Wire.MaxInline, context.Runtime.Time));
        }
        else
        {
            _shm = new ShmTransport(dialer);
            _tcp = new TcpTransport(dialer, rails: rails);
            transports.AddRange([_shm, new ControlTransport(context.Calls, SmallRead, context.Runtime.Time), _tcp]);
            if (holder is not null)
            {
                _tcpServer = new TcpDataServer(holder.Store, holder.Book, context.Runtime);
                _shmServer = new ShmServer(holder.Store, holder.Processes, context.Runtime);
                DataLane = TakeOver;
            }
        }

        Plan = new TransferPlan(transports, context.Runtime.Time)
        {
            Shared = _shm,
            ExtentLists = new ExtentLists(context.Calls),
        };
    }

    public TransferPlan Plan { get; }

    /// <summary>Takes over a connection of a bulk lane; null where there is none (simulation, clients).</summary>
    public Action<IPeerConnection, Hello>? DataLane { get; }

    /// <summary>Serves the data lane; null where there is none.</summary>
    public TcpDataServer? DataServer => _tcpServer;

    /// <summary>What the rails have done; null where there are none.</summary>
    public RailCounters? Rails => _tcp?.RailCounters;

    /// <summary>The transports of a node, or of a client, which holds nothing.</summary>
    /// <param name="context">Calls, clock and network.</param>
    /// <param name="holder">The node's memory; null for a client.</param>
    /// <param name="bootId">Boot id of this host.</param>
    /// <param name="hello">Our hello on a lane to a node.</param>
    /// <param name="handshake">Opens connections.</param>
    /// <param name="rails">Addresses of this host to read large objects by.</param>
    public static NodeTransports Create(FlowContext context, HolderParts? holder, string bootId,
        Func<Lane, string, Hello> hello, Handshake handshake, IReadOnlyList<string> rails)
    {
        // The bulk lanes need real sockets; a simulated network carries control alone.
        bool bulk = context.Runtime.Network is SocketNetwork;
        return new NodeTransports(context, holder,
            bulk ? new PeerDialer(hello, handshake, context.Runtime, bootId) : null, rails);
    }

    /// <summary>Lets go of nodes, and of former lives of nodes, that are not in the view.</summary>
    public void Keep(MeshView view)
    {
        _tcp?.Keep(view);
        _shm?.Keep(view);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Plan.DisposeAsync();
        if (_shmServer is not null)
            await _shmServer.DisposeAsync();
        if (_tcpServer is not null)
            await _tcpServer.DisposeAsync();
    }

    private void TakeOver(IPeerConnection connection, Hello hello)
    {
        if (hello.Lane == Lane.Shm)
            _shmServer!.Take(connection);
        else
            _tcpServer!.Take(connection);
    }
}

/// <summary>What a transport from outside this project is made of.</summary>
/// <param name="Runtime">Clock, scheduler and rules.</param>
/// <param name="Store">The node's memory; null in a client.</param>
/// <param name="Dialer">Opens lanes to nodes; null where there are no sockets.</param>
internal sealed record TransportParts(MeshRuntime Runtime, ObjectStore? Store, PeerDialer? Dialer);
