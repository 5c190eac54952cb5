// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh;

/// <summary>
/// A peer, put together: member, owner of slots, holder of objects. A daemon and an embedding client both run this.
/// Thread-safe.
/// </summary>
public sealed class MeshNode : IAsyncDisposable
{
    private static readonly TimeSpan HousekeepingInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RingPoll = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan FirstView = TimeSpan.FromSeconds(5);

    private readonly MeshNodeOptions _options;
    private readonly MeshRuntime _runtime;
    private readonly ILogger _log;
    private readonly OwnIncarnation _incarnation;
    private readonly string _bootId;
    private readonly MembershipService _membership;
    private readonly Handshake _handshake;
    private readonly PeerHandler _handler;
    private readonly PeerLinks _links;
    private readonly MeshCalls _calls;
    private readonly PeerHealth _health;
    private readonly ViewTracker _views;
    private readonly HolderParts _holder;
    private readonly Expulsion _expulsion;
    private readonly FormerMembers _former = new();
    private readonly FlowContext _context;
    private readonly CancellationTokenSource _stop = new();
    private PeerServer? _server;
    private NodeTransports? _transports;
    private readonly Lock _ownerLock = new();
    private readonly TaskCompletionSource _adopted = new();
    private OwnerParts? _owner;
    private ClientService? _clients;
    private MeshOperations? _operations;
    private bool _leaving;
    private bool _ended;

    private MeshNode(MeshNodeOptions options, IMeshRegistry registry, ObjectStore store, MeshRuntime runtime)
    {
        _options = options;
        _runtime = runtime;
        _log = runtime.Log.CreateLogger("mesh.node");
        _incarnation = new OwnIncarnation(runtime.Random.NextUInt64());
        _bootId = HostIdentity.BootId;
        _membership = new MembershipService(new MembershipOptions
        {
            LeaseTtl = options.LeaseTtl,
            RuntimeDirectory = options.RuntimeDirectory,
            WaitForNodeId = options.WaitForNodeId,
            Slots = options.Slots,
        }, registry, runtime);
        _handshake = new Handshake(options.Secret, runtime);
        _handler = new PeerHandler(runtime);
        _links = new PeerLinks(HelloFor, _handshake, _handler, runtime, _bootId);
        _calls = new MeshCalls(_links, _handler, options.NodeId) { Incarnation = () => _incarnation.Value };
        _views = new ViewTracker(runtime, () => _membership.View, _membership.OfferView) { Calls = _calls };
        _health = new PeerHealth(_calls, () => _membership.View, runtime);
        _context = new FlowContext(runtime, _views, _calls, options.NodeId);
        _holder = new HolderParts(_context, store, _incarnation, _membership, options.ClientLimits,
            new EvictionLimits(options.EvictionHighWatermark, options.EvictionRatio));
        _expulsion = new Expulsion(_membership, _holder, _incarnation, NodeId, options.LeaseTtl, runtime);
        _handler.OnHeard = _links.Heard;
        _handler.Holder = _holder.Holder;
        _handler.Node = new NodeService(_views, Status, () => store.Usage.Free, () => _leaving, _former,
            () => _owner);
        _health.OnAnswer = (node, answer, asked) =>
        {
            _views.Suggest(answer.View, node);
            _owner?.States.Missed.Answered(node.NodeId);
            _holder.Room.Note(node.NodeId, answer.FreeBytes);
            // A view with a namesake of ours in it, of another life, is nothing for us to be sure of.
            if (!_expulsion.IsExpelled)
                _owner?.Guard.PeerSaid(answer.View, asked);
            _expulsion.PeerSaid(answer.Without);
        };
        _membership.OnViewChanged(Adopt);
        _membership.OnCleared(_holder.Clear.Learn);
    }

    /// <summary>The endpoint that peers are told.</summary>
    public string Endpoint { get; private set; } = "";

    /// <summary>The node's name.</summary>
    public string NodeId => _options.NodeId;

    /// <summary>The view this node acts on.</summary>
    public MeshView View => _membership.View;

    /// <summary>Whether every slot this node owns is complete.</summary>
    public bool Ready => NotReadyReason is null;

    /// <summary>Why the node is not ready, or null.</summary>
    public string? NotReadyReason
    {
        get
        {
            if (_ended)
                return "the node has stopped";
            if (_owner is null || _owner.States.Current.View.Id != View.Id)
                return "the node is not in its view yet";
            if (_expulsion.IsExpelled)
                return "the node is not in its view any more and registers anew";
            if (View.Find(NodeId) is { Ring.Starting: true })
                return "the node has no share of the ring yet";
            int incomplete = _owner.States.Count().Incomplete;
            return incomplete > 0 ? $"{incomplete} slots are not complete yet" : null;
        }
    }

    /// <summary>Whether the registry is away, or nobody confirms the view.</summary>
    public bool Degraded => _membership.Status.Degraded || _owner is { Owner.Confident: false };

    internal MeshOperations Operations => _operations
        ?? throw new InvalidOperationException("the node has not started");

    internal MeshRuntime Runtime => _runtime;

    internal HolderParts Holder => _holder;

    internal OwnerParts? Owner => _owner;

    internal Expulsion Expulsion => _expulsion;

    internal MembershipService Membership => _membership;

    internal PeerHandler Handler => _handler;

    internal PeerServer? Server => _server;

    internal Handshake Handshake => _handshake;

    /// <summary>
    /// Starts a node: memory, port, registration, in this order; on any refusal nothing is left running.
    /// </summary>
    public static async Task<MeshResult<MeshNode>> StartAsync(MeshNodeOptions options, IMeshRegistry registry,
        MeshRuntime runtime, CancellationToken cancel)
    {
        var made = Create(options, registry, runtime);
        return made.Succeeded ? await made.Value.StartOrEndAsync(cancel) : made;
    }

    /// <summary>A node with its memory, not started: <see cref="Abort"/> frees it.</summary>
    internal static MeshResult<MeshNode> Create(MeshNodeOptions options, IMeshRegistry registry, MeshRuntime runtime)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Validate() is [var error, ..])
            return error;
        var store = ObjectStore.Create(options.Segments, runtime, null, options.HardPinRatio, options.Tiers);
        return store.Succeeded
            ? new MeshNode(options with { Segments = store.Value.Options }, registry, store.Value, runtime)
            : store.Error!;
    }

    internal async Task<MeshResult<MeshNode>> StartOrEndAsync(CancellationToken cancel)
    {
        try
        {
            if (await _runtime.Start(() => StartAsync(cancel)) is not { } refusal)
                return this;
            Abort();
            return refusal;
        }
        catch (OperationCanceledException)
        {
            // It may have registered already: its lease is given back, not left to expire.
            await DisposeAsync();
            return new MeshError(MeshErrorCode.Cancelled, "start", "the start was cancelled");
        }
    }

    /// <summary>
    /// Leaves the ring, serves reads for <paramref name="grace"/>, then gives up the lease and ends.
    /// <paramref name="hurry"/> shortens the grace.
    /// </summary>
    public async Task LeaveAsync(TimeSpan grace, CancellationToken hurry)
    {
        if (_ended)
            return;
        _leaving = true;
        if (_clients is not null)
            _clients.Leaving = true;
        // Beside the grace, which is no longer for a registry that is away.
        _ = _membership.UpdateAsync(self => self with { Ring = self.Ring with { Leaving = true } }, hurry);
        _log.LogInformation("leaving grace_ms={Grace:0}", grace.TotalMilliseconds);
        try
        {
            await _runtime.Delay(grace, hurry);
        }
        catch (OperationCanceledException)
        {
            _log.LogInformation("grace_cut_short");
        }

        await DisposeAsync();
    }

    /// <summary>Ends at once, as if the process had been killed: no lease is revoked, connections just break.</summary>
    public void Abort()
    {
        _membership.Abort();
        End();
        _ = _server?.DisposeAsync().AsTask();
        _ = _transports?.DisposeAsync().AsTask();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_ended)
            return;
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(2), _runtime.Time);
        await _membership.StopAsync(limit.Token);
        End();
        if (_server is not null)
            await _server.DisposeAsync();
        if (_transports is not null)
            await _transports.DisposeAsync();
    }

    /// <summary>What the node says of itself.</summary>
    public NodeStatus Status() => StatusOf.Node(this, _options, _incarnation.Value, _health);

    /// <summary>By what bytes travel; null before the start.</summary>
    internal NodeTransports? Transports => _transports;

    internal void AddCounters(IDictionary<string, long> counters) =>
        StatusOf.Counters(counters, this, _transports, _operations);

    private async Task<MeshError?> StartAsync(CancellationToken cancel)
    {
        if (RailAddresses.Elsewhere(_options.Rails, _runtime.Network) is { } elsewhere)
            return elsewhere;
        var transports = await NodeTransports.CreateAsync(_context, _holder, _bootId, HelloFor, _handshake,
            _options.Rails, _options.Transport);
        if (!transports.Succeeded)
            return transports.Error;
        _transports = transports.Value;
        _handler.Verbs = _transports.Verbs;
        var listeners = new List<IPeerListener>();
        try
        {
            var listen = PeerEndpoint.Parse("listen", _options.Listen);
            if (!listen.Succeeded)
                return listen.Error;
            listeners.Add(_runtime.Network.Listen(listen.Value.ToString()));
            foreach (string rail in RailAddresses.ToListenOn(_options.Rails, listeners[0].Endpoint))
                listeners.Add(_runtime.Network.Listen(rail));
            if (_options.SocketPath is not null)
                listeners.Add(_runtime.Network.Listen("unix:" + _options.SocketPath));
        }
        catch (PeerNetworkException e)
        {
            foreach (var listener in listeners)
                await listener.DisposeAsync();
            return new MeshError(MeshErrorCode.System, "config:listen", e.Message);
        }

        string bound = listeners[0].Endpoint;
        _server = new PeerServer(_ => HelloFor(Lane.Client, ""), _handshake, _handler, _transports.DataLane,
            _runtime);
        listeners.ForEach(_server.Serve);
        var advertised = Addresses.Advertised(_options, bound);
        if (!advertised.Succeeded)
            return advertised.Error;
        Endpoint = advertised.Value;
        var view = await _membership.StartAsync(
            SelfRecord.Of(_options, _incarnation.Value, _bootId, advertised.Value, bound,
                segment => _transports.CardsReach(_holder.Store.Segments[segment])), cancel);
        if (!view.Succeeded)
            return view.Error;
        // Ready means that owner calls are decided in a view, so the start waits for the first one to be adopted.
        await _adopted.Task.EndsWithinAsync(FirstView, _runtime.Time, cancel);
        await JoinRingAsync(cancel);
        _operations = new MeshOperations(_context, _transports.Plan, _bootId, _holder.Store);
        _holder.Start();
        // Only now: it takes a core, and the start is to be short.
        _ = _holder.Store.TouchAsync(_runtime);
        _ = _runtime.Start(HousekeepAsync);
        _log.LogInformation("started node={Node} cluster={Cluster} listen={Listen} advertise={Advertise} view={View}",
            NodeId, _options.Cluster, bound, Endpoint, view.Value.Id);
        return null;
    }

    /// <summary>
    /// Takes our share of the ring, now that owner calls are answered. With the registry away the share stays wanted
    /// and is taken when it is back.
    /// </summary>
    private async Task JoinRingAsync(CancellationToken cancel)
    {
        var joined = await _membership.UpdateAsync(
            self => self with { Ring = self.Ring with { Starting = false } }, cancel);
        if (!joined.Succeeded)
        {
            _log.LogWarning("ring_not_joined_yet reason={Reason}", joined.Error!.Message);
            return;
        }

        var limit = new Deadline(_runtime.Time, FirstView);
        while (_owner?.States.Current.View.Find(NodeId) is not { Ring.Starting: false } && !limit.Passed)
            await _runtime.Delay(RingPoll, cancel);
    }

    private Hello HelloFor(Lane lane, string wanted) =>
        SelfRecord.Hello(_options, _incarnation.Value, _membership.View, _bootId, lane) with { WantedNode = wanted };

    private void Adopt(MeshView previous, MeshView next)
    {
        if (_ended)
            return;
        _views.Changed(previous, next);
        var owner = EnsureOwner(next);
        // A place in the ring that a namesake of another life has is not ours to decide by.
        if (next.Find(NodeId, _incarnation.Value) is null)
            owner.Owner.TrustFor(TimeSpan.Zero);
        owner.Adopt(previous, next);
        _holder.Reconciler.MeshChanged();
        _former.Adopt(previous, next);
        _expulsion.Adopt(previous, next);
        _adopted.TrySetResult();
        new Farewell(_calls, _runtime, () => View).Tell(previous, next);
        _transports?.Keep(next);
        _health.Watch(next);
        _log.LogInformation("view_adopted view={View} members={Members}", next.Id, next.Members.Count);
    }

    /// <summary>Makes the owner's parts at the first view, before any peer can know of us.</summary>
    private OwnerParts EnsureOwner(MeshView view)
    {
        // The start and the first view's announcement both come here, on threads of their own.
        lock (_ownerLock)
            return _owner ??= MakeOwner(view);
    }

    private OwnerParts MakeOwner(MeshView view)
    {
        var owner = new OwnerParts(NodeId, view.Config.Slots, _health, _calls, _options.LeaseTtl, _runtime);
        _clients = new ClientService(_context, _holder, owner.Owner,
            new RemoveAllFlow(_context, _holder.Clear, _membership.RaiseClearedAsync));
        owner.Owner.OnLoser = (key, loser) => _ = _runtime.Start(() => _holder.Drops.TellAsync(key, loser,
            new Deadline(_runtime.Time, TimeSpan.FromSeconds(1)), CancellationToken.None));
        _holder.Clear.OnLearnt = cleared => owner.Table.ClearAll(cleared);
        owner.Table.ClearAll(_holder.Clear.Known);
        owner.Owner.Values = _holder.Inline;
        _health.OnChanged = (node, before, now) =>
        {
            owner.Keeper.ReachChanged(node, before, now);
            if (now == Reach.Fine)
                _holder.Reconciler.MeshChanged();
        };
        _health.OnMissed = owner.Keeper.Missed;
        _handler.Owner = owner.Owner;
        _handler.Clients = _clients;
        owner.Keeper.Start();
        return owner;
    }

    private async Task HousekeepAsync()
    {
        while (!_ended)
        {
            _owner?.Guard.Tick(_membership.ViewAge, View.Find(NodeId, _incarnation.Value) is not null);
            _expulsion.Tick();
            _holder.Book.Expire();
            _server?.CutStuck();
            try
            {
                await _runtime.Delay(HousekeepingInterval, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private void End()
    {
        if (_ended)
            return;
        _ended = true;
        _stop.Cancel();
        _health.Stop();
        _owner?.Dispose();
        _links.Close();
        _holder.Dispose();
    }
}
