// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh;

/// <summary>
/// A peer without memory or slots: learns the view from any node (or from the registry's list), follows one node for
/// newer ones, and goes on with another when that one dies.
/// </summary>
internal sealed class ClientPeer : IAsyncDisposable
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FollowInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(100);

    private readonly MeshRuntime _runtime;
    private readonly string _cluster;
    private readonly IReadOnlyList<string> _rails;
    private readonly IReadOnlyList<string> _seeds;
    private readonly IMeshRegistry? _registry;
    private readonly string _bootId;
    private readonly ILogger _log;
    private readonly Handshake _handshake;
    private readonly PeerHandler _handler;
    private readonly PeerLinks _links;
    private readonly MeshCalls _calls;
    private readonly ViewTracker _views;
    private readonly FlowContext _context;
    private readonly TransportChoice _transport;
    private NodeTransports? _transports;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private MeshView _view = MeshView.Empty;

    /// <param name="cluster">Name of the mesh.</param>
    /// <param name="seeds">host:port of any of its nodes.</param>
    /// <param name="registry">Its registry, or null when seeds are given.</param>
    /// <param name="runtime">The world to run in.</param>
    /// <param name="bootId">Boot id of this host; empty: no path that only one host has is taken.</param>
    /// <param name="secret">The mesh's secret; null: none.</param>
    /// <param name="rails">Addresses of this host to read large objects by; null: any.</param>
    /// <param name="transport">By what large objects travel.</param>
    public ClientPeer(string cluster, IReadOnlyList<string> seeds, IMeshRegistry? registry, MeshRuntime runtime,
        string bootId, ClusterSecret? secret = null, IReadOnlyList<string>? rails = null,
        TransportChoice transport = TransportChoice.Auto)
    {
        _transport = transport;
        _cluster = cluster;
        _rails = rails ?? [];
        _seeds = seeds;
        _registry = registry;
        _runtime = runtime;
        _bootId = bootId;
        _log = runtime.Log.CreateLogger("mesh.client");
        _handshake = new Handshake(secret, runtime);
        _handler = new PeerHandler(runtime);
        _links = new PeerLinks(HelloFor, _handshake, _handler, runtime, _bootId);
        _handler.OnHeard = _links.Heard;
        _calls = new MeshCalls(_links, _handler, "");
        _views = new ViewTracker(runtime, () => Volatile.Read(ref _view), Adopt) { Calls = _calls };
        _context = new FlowContext(runtime, _views, _calls, "");
    }

    /// <summary>Once it is connected.</summary>
    public MeshOperations Operations { get; private set; } = null!;

    /// <summary>
    /// Learns a first view, then follows; an error when nobody answers within <paramref name="limit"/>, or when the
    /// rails cannot be.
    /// </summary>
    public async Task<MeshError?> ConnectAsync(TimeSpan limit, CancellationToken cancel)
    {
        if (RailAddresses.FaultOf(_rails, _runtime.Network) is { } fault)
            return fault;
        var transports = await NodeTransports.CreateAsync(_context, null, _bootId, HelloFor, _handshake, _rails,
            _transport);
        if (!transports.Succeeded)
            return transports.Error;
        _transports = transports.Value;
        Operations = new MeshOperations(_context, _transports.Plan, _bootId, null);
        var deadline = new Deadline(_runtime.Time, limit);
        MeshError? last = null;
        do
        {
            if (cancel.IsCancellationRequested)
                return new MeshError(MeshErrorCode.Cancelled, "connect", "the caller cancelled");
            last = await BootstrapAsync(cancel);
            if (last is null && _registry is not null)
                last = await KnockAsync(deadline, cancel);
            if (last is null)
            {
                _ = _runtime.Start(FollowAsync);
                return null;
            }

            if (last.Code is MeshErrorCode.Protocol or MeshErrorCode.InvalidArgument
                or MeshErrorCode.Unauthenticated)
                return last;
            await Task.WhenAny(_runtime.Delay(deadline.AtMost(RetryInterval), cancel));
        }
        while (!deadline.Passed);

        return last;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _stop.Cancel();
        _links.Close();
        if (_transports is not null)
            await _transports.DisposeAsync();
        if (_registry is not null)
            await _registry.DisposeAsync();
    }

    private Hello HelloFor(Lane lane, string wanted) => new()
    {
        Cluster = _cluster,
        Lane = lane,
        NodeId = "",
        Incarnation = 0,
        View = Volatile.Read(ref _view).Id,
        WantedNode = wanted,
        BootId = _bootId,
    };

    private bool Adopt(MeshView view) => Adopt(view, anew: false);

    /// <summary>
    /// Takes a view that follows on ours. <paramref name="anew"/>: nobody whom we knew answers, and this is what is
    /// there now. Where the registry was wiped or restored, and all began again, its numbers say nothing of ours.
    /// </summary>
    private bool Adopt(MeshView view, bool anew)
    {
        lock (_lock)
        {
            bool began = view.Id.IsOfAnotherMesh(_view.Id) || !_view.Members.Any(known => Has(view, known));
            // Members that were waited for after an outage go without an event: the digest alone changes then.
            if (_view.Members.Count > 0 && !(anew && began) && (_view.Id.IsNewerThan(view.Id) || view.Id == _view.Id))
                return false;
            _views.Changed(_view, view);
            Volatile.Write(ref _view, view);
        }

        _links.Keep(view);
        _transports?.Keep(view);
        return true;
    }

    private static bool Has(MeshView view, NodeRecord life) => view.Find(life.NodeId, life.Incarnation) is not null;

    private async Task<MeshError?> BootstrapAsync(CancellationToken cancel)
    {
        MeshError? last = _registry is null ? null : await ListAsync(cancel);
        if (_registry is not null && last is null)
            return null;
        foreach (string seed in _seeds)
        {
            var node = await AskWhoAsync(seed, cancel);
            if (!node.Succeeded)
            {
                last = node.Error;
                continue;
            }

            var view = await ViewTracker.FetchAsync(_calls, node.Value, CallTimeout, cancel);
            if (view.Succeeded && view.Value.Members.Count > 0)
            {
                Adopt(view.Value, anew: true);
                return null;
            }

            last = view.Error ?? new MeshError(MeshErrorCode.Unavailable, "connect",
                $"{seed} is not part of a mesh yet");
        }

        return last ?? new MeshError(MeshErrorCode.InvalidArgument, "config:nodes",
            "neither a node nor an etcd endpoint is given");
    }

    /// <summary>Reads the members from the registry; from then on nodes are followed, not the registry.</summary>
    private async Task<MeshError?> ListAsync(CancellationToken cancel)
    {
        try
        {
            var listing = await _registry!.ListAsync(cancel);
            MeshConfig? config = null;
            var members = new List<NodeRecord>();
            long revision = 0;
            foreach (var entry in listing.Entries)
            {
                revision = Math.Max(revision, entry.ModRevision);
                if (entry.Key == "config")
                    config = MeshConfig.FromJson(entry.Value);
                else if (entry.Key.StartsWith("nodes/", StringComparison.Ordinal)
                    && NodeRecord.FromJson(entry.Value) is { } member)
                    members.Add(member with { Session = entry.Lease });
            }

            if (config is null || members.Count == 0)
            {
                return new MeshError(MeshErrorCode.Unavailable, "connect",
                    $"the registry knows no node of cluster '{_cluster}'");
            }

            Adopt(new MeshView(config, revision, members), anew: true);
            return null;
        }
        catch (RegistryException e)
        {
            return new MeshError(MeshErrorCode.Registry, "config:etcd", e.Message);
        }
    }

    /// <summary>
    /// The registry says who is there, not whether they let us in: one that answers tells. Whom nobody answers may go
    /// on; calls find out.
    /// </summary>
    private async Task<MeshError?> KnockAsync(Deadline deadline, CancellationToken cancel)
    {
        foreach (var member in Volatile.Read(ref _view).Members)
        {
            if (deadline.Passed)
                return null;
            var opened = await _links.ConnectAsync(member, Lane.Client, deadline.AtMost(CallTimeout), cancel);
            if (opened.Succeeded)
                return null;
            if (opened.Error!.Code == MeshErrorCode.Unauthenticated)
                return opened.Error;
        }

        return null;
    }

    private async Task<MeshResult<NodeRecord>> AskWhoAsync(string seed, CancellationToken cancel)
    {
        IPeerConnection? connection = null;
        try
        {
            using var timeout = new CancellationTokenSource(CallTimeout, _runtime.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancel);
            connection = await _runtime.Network.ConnectAsync(seed, either.Token);
            using var reader = new FrameReader(connection);
            var hello = await _handshake.OfferAsync(connection, reader, HelloFor(Lane.Client, ""), either.Token);
            if (!hello.Succeeded)
                return hello.Error!;
            return new NodeRecord
            {
                NodeId = hello.Value.NodeId,
                Incarnation = hello.Value.Incarnation,
                Session = hello.Value.Session,
                Endpoints = [seed],
            };
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or WireException)
        {
            return new MeshError(MeshErrorCode.Unavailable, "connect", $"cannot reach a node at {seed}: {e.Message}");
        }
        finally
        {
            connection?.Abort();
        }
    }

    private async Task FollowAsync()
    {
        int turn = 0;
        while (!_stop.IsCancellationRequested)
        {
            var view = Volatile.Read(ref _view);
            bool followed = false;
            if (view.Members.Count > 0)
            {
                var node = view.Members[turn % view.Members.Count];
                var answer = await _calls.PingAsync(node, new PingRequest(view.Id), CallTimeout, _stop.Token);
                followed = answer.Succeeded;
                if (followed)
                    _views.Follow(answer.Value.View, node);
                else
                    turn++;
            }

            // Once round in vain: whoever we knew is gone, so ask where we came from.
            if (!followed && turn % Math.Max(1, view.Members.Count) == 0
                && await BootstrapAsync(_stop.Token) is { } error)
                _log.LogWarning("no_node_reachable reason={Reason}", error.Message);
            // A mesh that starts has members before any of them serves: nobody wants to wait a second for the first.
            bool serves = Volatile.Read(ref _view).Owner(0, 0) is not null;
            try
            {
                await _runtime.Delay(followed && serves ? FollowInterval : RetryInterval, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }
}
