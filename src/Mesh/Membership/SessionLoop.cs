// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// Keeps the node's record in the registry on a living lease: the only writer of that record. A lease is taken for
/// lost when the registry says so, or when TTL has passed on our own clock since the start of the last beat that was
/// answered; then a new one is granted, for a record is never written again under a lease that may be gone.
/// </summary>
internal sealed class SessionLoop
{
    private readonly IMeshRegistry _registry;
    private readonly MeshRuntime _runtime;
    private readonly MembershipOptions _options;
    private readonly RegistryHealth _health;
    private readonly ILogger _log;
    private readonly RecordWriter _writer;
    private readonly WakeSignal _wake;
    private readonly RegistryBackoff _backoff;
    private readonly Lock _gate = new();
    private readonly WaitingUpdates _updates = new();
    private volatile NodeRecord _self;
    private RegistryLease? _lease;
    private bool _registered;
    private long _modRevision;
    private long _registrations;
    private long? _lastBeat;
    private string? _rival;
    private byte[] _written = [];
    private bool _overwritten;
    private long _former;
    private TimeSpan _lastAbsence;

    public SessionLoop(NodeRecord self, IMeshRegistry registry, MeshRuntime runtime, MembershipOptions options,
        RegistryHealth health, ILogger log)
    {
        _self = self;
        _registry = registry;
        _runtime = runtime;
        _options = options;
        _health = health;
        _log = log;
        _writer = new RecordWriter(registry, runtime, health);
        _wake = new WakeSignal(runtime.Time);
        _backoff = new RegistryBackoff(runtime.Random);
    }

    /// <summary>Where the lease id is kept, or null.</summary>
    public KeptLease? Kept { get; set; }

    /// <summary>Our record as it is wanted, with the present session.</summary>
    public NodeRecord Self => _self;

    /// <summary>Why the record is not registered when that is not the registry's fault, or null.</summary>
    public string? Rival
    {
        get
        {
            lock (_gate)
                return _rival;
        }
    }

    public bool Registered
    {
        get
        {
            lock (_gate)
                return _registered;
        }
    }

    /// <summary>The present lease, or 0.</summary>
    public long Lease
    {
        get
        {
            lock (_gate)
                return _lease?.Id ?? 0;
        }
    }

    public TimeSpan? KeepAliveAge
    {
        get
        {
            lock (_gate)
                return _lastBeat is { } beat ? _runtime.Time.GetElapsedTime(beat) : null;
        }
    }

    /// <summary>From the last good beat of the lease before to the present one's grant; zero at first.</summary>
    public TimeSpan LastAbsence
    {
        get
        {
            lock (_gate)
                return _lastAbsence;
        }
    }

    /// <summary>How often the record was registered; a listing begun before the last time proves nothing.</summary>
    public long Registrations
    {
        get
        {
            lock (_gate)
                return _registrations;
        }
    }

    /// <summary>One attempt to register, under a new lease.</summary>
    /// <returns>Null when done; NodeIdInUse when another incarnation holds the id.</returns>
    /// <exception cref="RegistryException">The registry failed.</exception>
    public async Task<MeshError?> RegisterAsync(CancellationToken stop)
    {
        long started = _runtime.Time.GetTimestamp();
        long version;
        NodeRecord record;
        await EndFormerAsync(stop);
        var lease = await CallAsync(token => _registry.GrantLeaseAsync(_options.LeaseTtl, token), stop);
        try
        {
            // A full disk costs a slow restart, not the membership.
            Kept?.TryWrite(lease.Id, _log);
            lock (_gate)
            {
                version = _updates.Wanted;
                record = _self with { Session = lease.Id, Registrations = _registrations + 1 };
            }

            var written = await _writer.WriteAsync(record, lease.Id, 0, stop);
            if (written.Error is { } inUse)
            {
                await TryRevokeAsync(lease.Id, stop);
                lock (_gate)
                    _rival = inUse.Message;
                return inUse;
            }

            lock (_gate)
            {
                if (_self.Incarnation != record.Incarnation)
                {
                    // Renewed meanwhile: the loop registers that one.
                    _former = lease.Id;
                    return null;
                }

                _lease = lease;
                _registered = true;
                _lastAbsence = _lastBeat is { } last ? _runtime.Time.GetElapsedTime(last, started) : TimeSpan.Zero;
                _rival = null;
                _registrations++;
                _modRevision = written.Value;
                _written = record.ToJson();
                _overwritten = false;
                _lastBeat = started;
                _self = _self with { Session = lease.Id, Registrations = record.Registrations };
            }

            _health.LeaseTtl = lease.TimeToLive;
            _health.NoteWrite();
            _updates.Written(version);
            return null;
        }
        catch (RegistryException)
        {
            // Each attempt has a lease of its own: a kept one could run out between two attempts.
            await TryRevokeAsync(lease.Id, stop);
            throw;
        }
    }

    /// <summary>Ends a lease if the registry lets us, in one bounded call.</summary>
    public async Task<bool> TryRevokeAsync(long lease, CancellationToken stop)
    {
        try
        {
            await CallAsync(async token =>
            {
                await _registry.RevokeLeaseAsync(lease, token);
                return true;
            }, stop);
            return true;
        }
        catch (Exception e) when (e is RegistryException or OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Runs until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            TimeSpan wait;
            long started = _runtime.Time.GetTimestamp();
            try
            {
                wait = await StepAsync(stop);
            }
            catch (Exception) when (stop.IsCancellationRequested)
            {
                break;
            }
            catch (Exception e)
            {
                // Whatever a broken connection throws, this loop must outlive it.
                wait = Failed(started, e as RegistryException ??
                    new RegistryException(RegistryFailure.Unavailable, e.Message, e));
            }

            try
            {
                await _wake.WaitAsync(wait, stop);
            }
            catch (OperationCanceledException)
            {
                break;
            }
        }

        _updates.Cancel();
    }

    /// <summary>Changes the wanted record; the loop writes it.</summary>
    /// <returns>What ends when it is written; null when too many changes wait.</returns>
    public TaskCompletionSource? Change(Func<NodeRecord, NodeRecord> change)
    {
        TaskCompletionSource done;
        lock (_gate)
        {
            if (_updates.AreFull)
                return null;
            var next = change(_self);
            if (next.ToJson().Length > NodeRecord.MaxBytes)
                throw new ArgumentException($"the node's record is over {NodeRecord.MaxBytes} bytes", nameof(change));
            _self = next with
            {
                NodeId = _self.NodeId,
                Incarnation = _self.Incarnation,
                Session = _self.Session,
            };
            done = _updates.Add();
        }

        _wake.Set();
        return done;
    }

    /// <summary>Our memory is another one: registers anew under this incarnation.</summary>
    public void Renew(ulong incarnation)
    {
        lock (_gate)
        {
            _self = _self with { Incarnation = incarnation };
            _former = _lease?.Id ?? 0;
            _registered = false;
        }

        _wake.Set();
    }

    /// <summary>
    /// What a listing or an event says of our own key. <paramref name="registrations"/>: how often we had registered
    /// when it was asked for; <paramref name="revision"/>: of the event, or long.MaxValue for a listing.
    /// </summary>
    public void Observe(RegistryEntry? own, long registrations, long revision)
    {
        lock (_gate)
        {
            if (!_registered || registrations != _registrations || revision <= _modRevision)
                return;
            // A restored snapshot may hold our key on an earlier lease of ours, or on this one with an old record.
            bool onOurLease = own is not null && own.Lease == _lease!.Id;
            if (onOurLease && (_updates.AreBehind || own!.Value.AsSpan().SequenceEqual(_written)))
                return;
            _overwritten = onOurLease;
            _registered = onOurLease;
        }

        _health.Log(LogLevel.Warning, "our record is missing from the registry, or an old one: writing it again");
        _wake.Set();
    }

    private async Task<TimeSpan> StepAsync(CancellationToken stop)
    {
        RegistryLease? lease;
        bool registered;
        bool changed;
        long modRevision;
        long version;
        long beat;
        lock (_gate)
        {
            (lease, registered, modRevision) = (_lease, _registered, _modRevision);
            changed = _overwritten || _updates.AreBehind;
            version = _updates.Wanted;
            beat = _lastBeat ?? 0;
        }

        if (!registered)
        {
            if (await RegisterAsync(stop) is { } inUse)
            {
                _health.Log(LogLevel.Error, inUse.Message);
                return _backoff.Next();
            }

            _backoff.Reset();
            return TimeSpan.Zero;
        }

        if (changed)
        {
            var record = _self;
            var written = await _writer.WriteAsync(record, lease!.Id, modRevision, stop);
            if (written.Error is not null)
                throw new RegistryException(RegistryFailure.LeaseNotFound, written.Error.Message);
            lock (_gate)
            {
                _modRevision = written.Value;
                _written = record.ToJson();
                _overwritten = false;
            }

            _health.NoteWrite();
            _updates.Written(version);
            return TimeSpan.Zero;
        }

        var left = _runtime.Time.LeftOf(lease!.TimeToLive / 3, beat);
        return left > TimeSpan.Zero ? left : await BeatAsync(lease, stop);
    }

    private async Task<TimeSpan> BeatAsync(RegistryLease lease, CancellationToken stop)
    {
        // A process that was stopped for longer than TTL may find its lease alive, or believe so: treat it as lost.
        if (LocallyExpired(lease))
            return Lost("its time ran out on our own clock");
        long started = _runtime.Time.GetTimestamp();
        var granted = await CallAsync(token => _registry.KeepAliveAsync(lease.Id, token), stop);
        _health.NoteAnswer();
        if (granted is null)
            return Lost("the registry no longer knows it");
        _backoff.Reset();
        lock (_gate)
        {
            _lastBeat = started;
            _lease = lease with { TimeToLive = granted.Value };
        }

        return _runtime.Time.LeftOf(granted.Value / 3, started);
    }

    private TimeSpan Failed(long started, RegistryException failure)
    {
        _health.NoteFailure(started, failure);
        RegistryLease? lease;
        lock (_gate)
            lease = _registered ? _lease : null;
        if (failure.Failure == RegistryFailure.LeaseNotFound)
            return Lost("the registry no longer knows it");
        if (lease is not null && LocallyExpired(lease))
            Lost("its time ran out on our own clock");
        return _backoff.Next();
    }

    private bool LocallyExpired(RegistryLease lease)
    {
        lock (_gate)
            return _lastBeat is { } beat && _runtime.Time.GetElapsedTime(beat) >= lease.TimeToLive;
    }

    private TimeSpan Lost(string why)
    {
        lock (_gate)
            _registered = false;
        _health.Log(LogLevel.Warning, $"the lease is lost: {why}; registering again");
        return TimeSpan.Zero;
    }

    /// <summary>Ends the lease of our last incarnation: its record would refuse the new one.</summary>
    private async Task EndFormerAsync(CancellationToken stop)
    {
        long former = Interlocked.Exchange(ref _former, 0);
        if (former != 0 && !await TryRevokeAsync(former, stop))
            Interlocked.CompareExchange(ref _former, former, 0);
    }

    private Task<T> CallAsync<T>(Func<CancellationToken, Task<T>> call, CancellationToken stop) =>
        _runtime.BoundedAsync(_health.LeaseTtl / 3, stop, call);
}
