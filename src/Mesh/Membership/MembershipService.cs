// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// The node's place in the mesh: registers it under a lease, follows the others, and holds the view. Thread-safe; all
/// its work runs on the scheduler of the runtime. While the registry is away the view stays as it is and
/// <see cref="Status"/> says degraded; how views are named and when one follows another: see ARCHITECTURE.md.
/// <para>
/// (epoch, revision) of <see cref="View"/> never goes back. A view of equal (epoch, revision) and another digest
/// replaces the present one in one case: at the end of an add-only window (two TTLs after an outage or a wipe), when
/// the registry's own listing shows who did not come back. It is never taken from a peer.
/// </para>
/// </summary>
public sealed class MembershipService : IAsyncDisposable
{
    private readonly MembershipOptions _options;
    private readonly IMeshRegistry _registry;
    private readonly MeshRuntime _runtime;
    private readonly ILogger _log;
    private readonly RegistryHealth _health;
    private readonly ViewKeeper _keeper;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private SessionLoop? _session;
    private WatchLoop? _watch;
    private KeptLease? _kept;
    private Task _loops = Task.CompletedTask;
    private Phase _phase = Phase.New;

    /// <summary>
    /// Makes the service; it does nothing before <see cref="StartAsync"/>. The registry stays the caller's.
    /// </summary>
    public MembershipService(MembershipOptions options, IMeshRegistry registry, MeshRuntime runtime)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(registry);
        ArgumentNullException.ThrowIfNull(runtime);
        _options = options;
        _registry = registry;
        _runtime = runtime;
        _log = runtime.Log.CreateLogger("Mooncake.Mesh.Membership");
        _health = new RegistryHealth(runtime, _log, options.LeaseTtl);
        _keeper = new ViewKeeper(runtime, _log, _health);
    }

    private enum Phase
    {
        New,
        Starting,
        Running,
        Stopped,
    }

    /// <summary>The present view; <see cref="MeshView.Empty"/> before the start.</summary>
    public MeshView View => _keeper.View;

    /// <summary>Our record as it is wanted, with the present session.</summary>
    /// <exception cref="InvalidOperationException">Before <see cref="StartAsync"/>.</exception>
    public NodeRecord Self => Session?.Self ?? throw new InvalidOperationException("the membership has not started");

    /// <summary>
    /// Time since the registry last said that our view is right: that our lease lives, of a view that has us on it. A
    /// lease that was granted since says nothing of a view from before it. Null: it has not.
    /// </summary>
    public TimeSpan? ViewAge
    {
        get
        {
            var session = Session;
            return session is not null && View.Find(session.Self.NodeId)?.Session == session.Lease
                ? session.KeepAliveAge
                : null;
        }
    }

    /// <summary>How the membership stands.</summary>
    public MembershipStatus Status
    {
        get
        {
            var session = Session;
            var failure = _health.Failure;
            bool registered = session?.Registered ?? false;
            string reason = failure?.Message ?? session?.Rival ?? (registered ? "" : "not registered");
            return new MembershipStatus
            {
                Degraded = reason.Length > 0,
                Reason = reason,
                Registered = registered,
                Lease = session?.Lease ?? 0,
                KeepAliveAge = session?.KeepAliveAge,
                LastAbsence = session?.LastAbsence ?? TimeSpan.Zero,
                Failure = failure?.Failure,
                AddOnly = _health.AddOnlyLeft > TimeSpan.Zero,
                Relists = Watch?.Listings ?? 0,
                Reregistrations = Math.Max(0, (session?.Registrations ?? 0) - 1),
                WatchEnds = Watch?.WatchEnds ?? 0,
                View = View.Id,
            };
        }
    }

    private SessionLoop? Session => Volatile.Read(ref _session);

    private WatchLoop? Watch => Volatile.Read(ref _watch);

    /// <summary>
    /// Calls <paramref name="changed"/> with the previous and the next view at every change from now on, one call at a
    /// time, in order, outside locks, on the runtime's scheduler. Views that come faster than the subscribers return
    /// are skipped; the next call's previous view is always the last call's next one,
    /// at first <see cref="MeshView.Empty"/>.
    /// </summary>
    public void OnViewChanged(Action<MeshView, MeshView> changed)
    {
        ArgumentNullException.ThrowIfNull(changed);
        _keeper.Subscribe(changed);
    }

    /// <summary>
    /// Writes the config if there is none, registers under a new lease, lists, and starts to follow. Once per service.
    /// </summary>
    /// <returns>
    /// The first view, with us in it; NodeIdInUse when a living node has the id; Registry when etcd refuses or is not
    /// reached within the registration timeout; InvalidArgument for wrong settings; System for the runtime directory;
    /// Cancelled.
    /// </returns>
    public Task<MeshResult<MeshView>> StartAsync(NodeRecord self, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(self);
        lock (_gate)
        {
            if (_phase != Phase.New)
                throw new InvalidOperationException("the membership starts once");
            _phase = Phase.Starting;
        }

        return OnSchedulerAsync(() => StartCoreAsync(self, cancel));
    }

    /// <summary>
    /// Changes our record: weight, leaving, labels, segments. Node id, incarnation and session stay. A change that
    /// could not be written in time stays wanted and is written when the registry answers.
    /// </summary>
    /// <returns>
    /// True when it is written; Registry when not within the registration timeout; Closed; Cancelled.
    /// </returns>
    public Task<MeshResult<bool>> UpdateAsync(Func<NodeRecord, NodeRecord> change, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(change);
        return OnSchedulerAsync(() => UpdateCoreAsync(change, cancel));
    }

    /// <summary>Registers anew under another incarnation, because the node's memory is another one.</summary>
    internal void Renew(ulong incarnation) => Session?.Renew(incarnation);

    /// <summary>
    /// Calls <paramref name="cleared"/> with the counter of removals of everything once it is known and whenever it
    /// rises, or again with the same one. Only set before <see cref="StartAsync"/>.
    /// </summary>
    public void OnCleared(Action<long> cleared) => _keeper.OnCleared = cleared;

    /// <summary>Raises the counter of removals of everything by one, above <paramref name="known"/>.</summary>
    /// <returns>The new value; Registry when not within the registration timeout; Cancelled.</returns>
    public Task<MeshResult<long>> RaiseClearedAsync(long known, CancellationToken cancel) => OnSchedulerAsync(
        async () =>
        {
            try
            {
                return await _runtime.BoundedAsync(_options.RegistrationTimeout, cancel,
                    token => ClearCounter.RaiseAsync(_registry, ClearCounter.DefaultNamespace, known, token));
            }
            catch (RegistryException e)
            {
                return new MeshError(MeshErrorCode.Registry, "remove-all", e.Message);
            }
            catch (OperationCanceledException)
            {
                return (MeshResult<long>)new MeshError(MeshErrorCode.Cancelled, "remove-all", "the caller cancelled");
            }
        });

    /// <summary>Takes a newer view that a peer has shown.</summary>
    /// <returns>Whether it was newer, of our mesh, and taken.</returns>
    public bool OfferView(MeshView fromPeer)
    {
        ArgumentNullException.ThrowIfNull(fromPeer);
        return _keeper.Offer(fromPeer);
    }

    /// <summary>
    /// Stops following, revokes the lease so that the others see us go at once, and forgets the kept lease id. Bounded
    /// by TTL/3 and <paramref name="cancel"/>; a lease that could not be revoked runs out by itself.
    /// </summary>
    public Task StopAsync(CancellationToken cancel) => OnSchedulerAsync(async () =>
    {
        if (!Close())
            return true;
        await _loops;
        if (Session is { Lease: not 0 } session && await session.TryRevokeAsync(session.Lease, cancel))
            _kept?.TryWrite(0, _log);
        _kept?.Dispose();
        return true;
    });

    /// <summary>Stops at once and revokes nothing, as if the process had been killed.</summary>
    public void Abort()
    {
        if (Close())
            _kept?.Dispose();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await StopAsync(CancellationToken.None);

    private bool Close()
    {
        lock (_gate)
        {
            if (_phase == Phase.Stopped)
                return false;
            _phase = Phase.Stopped;
        }

        _keeper.Close();
        _stop.Cancel();
        return true;
    }

    private async Task<MeshResult<MeshView>> StartCoreAsync(NodeRecord self, CancellationToken cancel)
    {
        if (_options.Validate() is [var wrong, ..])
            return Refuse(wrong);
        if (!MembershipNames.IsValid(self.NodeId) || self.Incarnation == 0 ||
            self.ToJson().Length > NodeRecord.MaxBytes - 64)
            return Refuse(new MeshError(MeshErrorCode.InvalidArgument, "config:nodeId",
                $"node id '{self.NodeId}': expected {MembershipNames.Expected}, an incarnation, and a record below " +
                $"{NodeRecord.MaxBytes} bytes"));
        var session = new SessionLoop(self, _registry, _runtime, _options, _health, _log);
        Volatile.Write(ref _session, session);
        Volatile.Write(ref _watch,
            new WatchLoop(_registry, _runtime, _options, _health, _keeper, session, self.NodeId));
        using var limit = new CancellationTokenSource(_options.RegistrationTimeout, _runtime.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancel, _stop.Token);
        var start = new MembershipStart(_options, _registry, _runtime, _health, session, Watch!);
        var failure = await start.RunAsync(limit.Token, linked.Token);
        _kept = session.Kept;
        lock (_gate)
        {
            if (failure is null && _phase == Phase.Starting)
            {
                _phase = Phase.Running;
                _loops = Task.WhenAll(
                    _runtime.Start(() => session.RunAsync(_stop.Token)),
                        _runtime.Start(() => Watch!.RunAsync(_stop.Token)));
                return View;
            }
        }

        if (session.Lease != 0)
            await session.TryRevokeAsync(session.Lease, CancellationToken.None);
        return Refuse(failure ?? new MeshError(MeshErrorCode.Closed, "membership", "stopped while starting"));
    }

    private MeshError Refuse(MeshError error)
    {
        Close();
        _kept?.Dispose();
        return error;
    }

    private async Task<MeshResult<bool>> UpdateCoreAsync(Func<NodeRecord, NodeRecord> change, CancellationToken cancel)
    {
        lock (_gate)
        {
            if (_phase != Phase.Running)
                return new MeshError(MeshErrorCode.Closed, "membership", "the membership is not running");
        }

        if (Session!.Change(change) is not { } written)
            return new MeshError(MeshErrorCode.Busy, "membership", "too many updates wait for the registry");
        using var limit = new CancellationTokenSource(_options.RegistrationTimeout, _runtime.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancel);
        try
        {
            await written.CancellableAsync(linked.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            if (cancel.IsCancellationRequested)
                return new MeshError(MeshErrorCode.Cancelled, "membership", "cancelled; the change stays wanted");
            return limit.IsCancellationRequested
                ? new MeshError(MeshErrorCode.Registry, "membership",
                    $"the change is not written yet: {_health.Failure?.Message ?? "no answer in time"}")
                : new MeshError(MeshErrorCode.Closed, "membership", "stopped before the change was written");
        }
    }

    /// <summary>Runs <paramref name="work"/> on the runtime's scheduler, wherever the caller is.</summary>
    private async Task<T> OnSchedulerAsync<T>(Func<Task<T>> work)
    {
        var result = default(T);
        await _runtime.Start(async () => result = await work());
        return result!;
    }
}
