// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>What stands between a client and its <see cref="EmbeddedRegistryStore"/>.</summary>
public enum EmbeddedFault
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Cut off: calls fail at once and watches break.</summary>
    Cut,

    /// <summary>No answer: calls fail by their deadline, watches are silent, and go on afterwards.</summary>
    Hung,
}

/// <summary>
/// One node's access to an <see cref="EmbeddedRegistryStore"/>: the registry of dev mode, of tests and of the
/// simulation, each node with its own so that one can be cut off alone. Thread-safe.
/// </summary>
public sealed class EmbeddedRegistry(EmbeddedRegistryStore store, MeshRuntime runtime) : IMeshRegistry
{
    private readonly Lock _gate = new();
    private readonly List<EmbeddedWatch> _watches = [];
    private readonly List<TaskCompletionSource> _blocked = [];
    private volatile EmbeddedFault _fault;
    private int _answersToLose;

    /// <summary>Longest time one call may take.</summary>
    public TimeSpan CallDeadline { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long each call takes.</summary>
    public TimeSpan Latency { get; init; } = TimeSpan.Zero;

    /// <summary>How long after a change a watch hears of it.</summary>
    public TimeSpan WatchDelay { get; set; } = TimeSpan.Zero;

    /// <summary>How much longer than other calls a listing takes: it may have many pages.</summary>
    public TimeSpan ListDelay { get; set; } = TimeSpan.Zero;

    /// <summary>The present fault.</summary>
    public EmbeddedFault Fault => _fault;

    /// <summary>Puts a fault between this client and the store, or takes it away.</summary>
    public void SetFault(EmbeddedFault fault)
    {
        EmbeddedWatch[] watches;
        TaskCompletionSource[] released = [];
        lock (_gate)
        {
            _fault = fault;
            watches = [.. _watches];
            if (fault != EmbeddedFault.Hung)
            {
                released = [.. _blocked];
                _blocked.Clear();
            }
        }

        foreach (var call in released)
            call.TrySetResult();
        foreach (var watch in watches)
        {
            if (fault == EmbeddedFault.Cut)
                watch.End(WatchEnd.Broken);
            else
                watch.Wake();
        }
    }

    /// <summary>The next <paramref name="writes"/> writes take effect but are answered as unavailable.</summary>
    public void LoseAnswers(int writes) => Volatile.Write(ref _answersToLose, writes);

    /// <inheritdoc/>
    public async Task<RegistryListing> ListAsync(CancellationToken cancel)
    {
        if (ListDelay > TimeSpan.Zero)
            await runtime.Delay(ListDelay, cancel);
        return await CallAsync("list", store.Read, cancel);
    }

    /// <inheritdoc/>
    public Task<RegistryLease> GrantLeaseAsync(TimeSpan timeToLive, CancellationToken cancel) =>
        CallAsync("grant lease", () => store.Grant(timeToLive), cancel);

    /// <inheritdoc/>
    public Task<TimeSpan?> KeepAliveAsync(long lease, CancellationToken cancel) =>
        CallAsync("keep lease alive", () => store.KeepAlive(lease), cancel);

    /// <inheritdoc/>
    public Task RevokeLeaseAsync(long lease, CancellationToken cancel) =>
        CallAsync("revoke lease", () => store.ExpireLease(lease), cancel);

    /// <inheritdoc/>
    public Task<RegistryWrite> WriteIfAsync(
        string key, byte[] value, long lease, long expectedModRevision, CancellationToken cancel) =>
        CallAsync("write " + key, () =>
        {
            var write = store.WriteIf(key, value, lease, expectedModRevision);
            if (Volatile.Read(ref _answersToLose) > 0 && Interlocked.Decrement(ref _answersToLose) >= 0)
                throw new RegistryException(RegistryFailure.Unavailable, $"write {key}: the answer was lost");
            return write;
        }, cancel);

    /// <inheritdoc/>
    public async Task<WatchEnd> WatchAsync(
        long fromRevision, Action<IReadOnlyList<RegistryEvent>> onEvents, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(onEvents);
        EmbeddedWatch? watch = null;
        try
        {
            watch = await CallAsync("watch", () => store.Watch(fromRevision), cancel);
            if (watch is null)
                return WatchEnd.Compacted;
            lock (_gate)
                _watches.Add(watch);
            while (true)
            {
                cancel.ThrowIfCancellationRequested();
                bool silent = _fault == EmbeddedFault.Hung || store.Frozen;
                if (_fault == EmbeddedFault.Cut || (silent && watch.HasEnded))
                    return WatchEnd.Broken;
                if (!silent)
                {
                    var events = watch.Take(out var end);
                    if (end is { } ended)
                        return ended;
                    if (events.Count > 0 && WatchDelay > TimeSpan.Zero)
                        await runtime.Delay(WatchDelay, cancel);
                    if (_fault == EmbeddedFault.Cut)
                        return WatchEnd.Broken;
                    if (events.Count > 0)
                        onEvents(events);
                }

                await watch.WaitAsync(silent, cancel);
            }
        }
        catch (RegistryException)
        {
            return WatchEnd.Broken;
        }
        finally
        {
            if (watch is not null)
            {
                store.Close(watch);
                lock (_gate)
                    _watches.Remove(watch);
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async Task<T> CallAsync<T>(string name, Func<T> call, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        // A call is never answered in the caller's own step: that would hide orders a real registry shows.
        await Task.Yield();
        using var deadline = new CancellationTokenSource(CallDeadline, runtime.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        try
        {
            if (Latency > TimeSpan.Zero)
                await runtime.Delay(Latency, linked.Token);
            while (_fault == EmbeddedFault.Hung || store.Frozen)
                await HealedAsync(linked.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new RegistryException(RegistryFailure.Unavailable, $"{name}: no answer in {CallDeadline}");
        }

        if (_fault == EmbeddedFault.Cut)
            throw new RegistryException(RegistryFailure.Unavailable, $"{name}: connection refused");
        return call();
    }

    private async Task HealedAsync(CancellationToken cancel)
    {
        TaskCompletionSource? call = null;
        lock (_gate)
        {
            if (_fault == EmbeddedFault.Hung)
                _blocked.Add(call = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        if (call is null)
        {
            await runtime.Delay(TimeSpan.FromMilliseconds(10), cancel);
            return;
        }

        try
        {
            await call.CancellableAsync(cancel);
        }
        finally
        {
            lock (_gate)
                _blocked.Remove(call);
        }
    }
}
