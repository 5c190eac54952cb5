// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Staging;
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
    private readonly IVerbsTransport? _verbs;
    private readonly DeviceQueues? _devices;

    private NodeTransports(FlowContext context, HolderParts? holder, PeerDialer? dialer, IReadOnlyList<string> rails,
        TransportChoice choice, IVerbsTransport? verbs)
    {
        _verbs = verbs;
        var transports = new List<ITransport>();
        if (holder is not null)
            transports.Add(new SelfTransport(context.Calls.IsSelf, holder.Store, holder.Book, context.Runtime.Time,
                context.Devices, holder.Tiers));
        if (context.Runtime.MoreTransports is { } more)
            transports.AddRange(more(new TransportParts(context.Runtime, holder?.Store, dialer)));
        if (dialer is null)
        {
            transports.Add(new ControlTransport(context.Calls, Wire.MaxInline, context.Runtime.Time));
        }
        else
        {
            if (choice is TransportChoice.Auto or TransportChoice.Shm)
                transports.Add(_shm = new ShmTransport(dialer, context.Devices));
            transports.Add(new ControlTransport(context.Calls, SmallRead, context.Runtime.Time));
            if (verbs is not null)
                transports.Add(verbs);
            if (choice is TransportChoice.Auto or TransportChoice.Tcp)
                transports.Add(_tcp = new TcpTransport(dialer, rails: rails));
            if (holder is not null)
            {
                _tcpServer = new TcpDataServer(holder.Store, holder.Book, context.Runtime);
                _shmServer = new ShmServer(holder.Store, holder.Processes, context.Runtime);
                DataLane = TakeOver;
            }
        }

        Plan = new TransferPlan(transports, context.Runtime.Time)
        {
            Devices = _devices = context.Devices,
            Shared = _shm,
            Cards = verbs,
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

    /// <summary>What a node with cards answers; null: it has none, or uses none.</summary>
    public IVerbsCalls? Verbs { get; private init; }

    /// <summary>Whether cards reach a segment here.</summary>
    public bool CardsReach(Segment segment) => Verbs is not null && _verbs!.Serves(segment);

    /// <summary>What each card has carried.</summary>
    public IEnumerable<CardStatus> Cards => _verbs?.Cards() ?? [];

    /// <summary>Transfers that no card could carry, so that they were left to other transports.</summary>
    public long CardFallbacks => _verbs?.Fallbacks ?? 0;

    /// <summary>The transports of a node, or of a client, which holds nothing.</summary>
    /// <param name="context">Calls, clock and network.</param>
    /// <param name="holder">The node's memory; null for a client.</param>
    /// <param name="bootId">Boot id of this host.</param>
    /// <param name="hello">Our hello on a lane to a node.</param>
    /// <param name="handshake">Opens connections.</param>
    /// <param name="rails">Addresses of this host to read large objects by.</param>
    /// <param name="choice">Which transports are to be used.</param>
    /// <returns>An error where RDMA is asked for and cannot be had.</returns>
    public static async Task<MeshResult<NodeTransports>> CreateAsync(FlowContext context, HolderParts? holder,
        string bootId, Func<Lane, string, Hello> hello, Handshake handshake, IReadOnlyList<string> rails,
        TransportChoice choice)
    {
        // The bulk lanes need real sockets; a simulated network carries control alone.
        bool bulk = context.Runtime.Network is SocketNetwork;
        var dialer = bulk ? new PeerDialer(hello, handshake, context.Runtime, bootId) : null;
        var verbs = await VerbsOf(context, bulk ? choice : TransportChoice.Tcp);
        if (!verbs.Succeeded)
            return verbs.Error!;
        if (holder is null || verbs.Value.Transport is not { } transport)
            return new NodeTransports(context, holder, dialer, rails, choice, verbs.Value.Transport);
        var served = await transport.ServeAsync(holder.Store, holder.Book);
        if (served.Succeeded)
        {
            holder.Retreat.Withdraw = transport.Withdraw;
            return new NodeTransports(context, holder, dialer, rails, choice, transport) { Verbs = served.Value };
        }

        await transport.DisposeAsync();
        if (choice == TransportChoice.Rdma)
            return served.Error!;
        NotUsed(context, served.Error!);
        return new NodeTransports(context, holder, dialer, rails, choice, null);
    }

    /// <summary>Lets go of nodes, and of former lives of nodes, that are not in the view.</summary>
    public void Keep(MeshView view)
    {
        _verbs?.Keep(view);
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
        if (_devices is not null)
            await _devices.DisposeAsync();
    }

    /// <summary>The cards, where they are wanted and there are any.</summary>
    private static async Task<MeshResult<Wanted>> VerbsOf(FlowContext context, TransportChoice choice)
    {
        if (choice is not (TransportChoice.Auto or TransportChoice.Rdma))
            return default(Wanted);
        var made = context.Runtime.Verbs is { } make
            ? await make(new VerbsParts(context.Runtime, context.Calls.Links) { Devices = context.Devices })
            : new MeshError(MeshErrorCode.Unavailable, "config:transport", "this program has no RDMA in it");
        if (made.Succeeded)
            return new Wanted(made.Value);
        if (choice == TransportChoice.Rdma || made.Error!.Code == MeshErrorCode.InvalidArgument)
            return made.Error!;
        if (context.Runtime.Verbs is not null)
            NotUsed(context, made.Error!);
        return default(Wanted);
    }

    private static void NotUsed(FlowContext context, MeshError reason) =>
        context.Runtime.Log.CreateLogger("mesh.verbs").LogInformation("rdma_not_used reason={Reason}", reason.Message);

    private void TakeOver(IPeerConnection connection, Hello hello)
    {
        if (hello.Lane == Lane.Shm)
            _shmServer!.Take(connection);
        else if (hello.Lane == Lane.Data)
            _tcpServer!.Take(connection);
        else
            connection.Abort();
    }
}

/// <summary>A transport, or none.</summary>
internal readonly record struct Wanted(IVerbsTransport? Transport);

/// <summary>What a transport from outside this project is made of.</summary>
/// <param name="Runtime">Clock, scheduler and rules.</param>
/// <param name="Store">The node's memory; null in a client.</param>
/// <param name="Dialer">Opens lanes to nodes; null where there are no sockets.</param>
internal sealed record TransportParts(MeshRuntime Runtime, ObjectStore? Store, PeerDialer? Dialer);
