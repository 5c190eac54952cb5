// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Transfer.Engine.Names;

/// <summary>
/// Names in the registry of a mesh. This engine's record lives on a lease of its own, kept alive every third of its
/// time; a lease that is gone, or may be, is never written under again. A name whose engine no longer answers is taken
/// over, so that a process that starts anew need not wait for its former lease. Thread-safe.
/// </summary>
internal sealed class RegistryNames : IEngineNames
{
    private const int MostTries = 5;

    private readonly SemaphoreSlim _one = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly IMeshRegistry _registry;
    private readonly EngineRecord _self;
    private readonly MeshRuntime _runtime;
    private readonly TimeSpan _ttl;
    private readonly Func<EngineRecord, bool> _answers;
    private readonly ILogger _log;
    private readonly LogGate _gate;
    private Task _keeping = Task.CompletedTask;
    private RegistryLease? _lease;
    private long _lastBeat;
    private bool _wanted;

    /// <param name="registry">The registry; disposed with this.</param>
    /// <param name="self">What is announced.</param>
    /// <param name="runtime">Clock, scheduler and log.</param>
    /// <param name="ttl">Time to live of the announcement.</param>
    /// <param name="answers">Whether the engine of a record is there; blocks for a few seconds at most.</param>
    public RegistryNames(IMeshRegistry registry, EngineRecord self, MeshRuntime runtime, TimeSpan ttl,
        Func<EngineRecord, bool> answers)
    {
        _registry = registry;
        _self = self;
        _runtime = runtime;
        _ttl = ttl;
        _answers = answers;
        _log = runtime.Log.CreateLogger("mesh.engine");
        _gate = new LogGate(runtime.Time);
    }

    private string Key => EngineRecord.KeyPrefix + _self.Name;

    /// <inheritdoc/>
    public TransferError? Announce()
    {
        var error = _runtime.Start(AnnounceAsync).GetAwaiter().GetResult();
        if (error is null)
            _keeping = _runtime.Start(KeepAsync);
        return error;
    }

    /// <inheritdoc/>
    public async Task WithdrawAsync()
    {
        await _one.WaitAsync();
        try
        {
            _wanted = false;
            if (_lease is { } lease)
                await _registry.RevokeLeaseAsync(lease.Id, CancellationToken.None);
            _lease = null;
        }
        catch (RegistryException e)
        {
            // It runs out by itself.
            _log.LogDebug("engine_not_withdrawn reason={Reason}", e.Message);
        }
        finally
        {
            _one.Release();
        }
    }

    /// <inheritdoc/>
    public TransferResult<EnginePlace> Find(string name)
    {
        if (!EngineRecord.IsName(name))
            return new TransferError(TransferErrorCode.InvalidArgument, "a segment's name is empty or too long");
        return TaskWait.ResultOf(_runtime.Start(() => FindAsync(name)));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _stop.Cancel();
        await _keeping;
        await WithdrawAsync();
        await _registry.DisposeAsync();
    }

    private async Task<TransferResult<EnginePlace>> FindAsync(string name)
    {
        try
        {
            string key = EngineRecord.KeyPrefix + name;
            foreach (var entry in (await _registry.ListAsync(_stop.Token)).Entries)
            {
                if (entry.Key != key)
                    continue;
                return EngineRecord.FromJson(entry.Value) is { } record
                    ? new EnginePlace(record.Address, record.Incarnation)
                    : new TransferError(TransferErrorCode.MalformedJson, $"the record of '{name}' cannot be read");
            }

            return new TransferError(TransferErrorCode.Metadata, $"no engine '{name}' is announced");
        }
        catch (Exception e) when (e is RegistryException or OperationCanceledException)
        {
            return new TransferError(TransferErrorCode.Metadata, e.Message);
        }
    }

    private async Task<TransferError?> AnnounceAsync()
    {
        await _one.WaitAsync();
        try
        {
            _wanted = true;
            return await WriteAsync();
        }
        catch (Exception e) when (e is RegistryException or OperationCanceledException)
        {
            return new TransferError(TransferErrorCode.Metadata, e.Message);
        }
        finally
        {
            _one.Release();
        }
    }

    private async Task<TransferError?> WriteAsync()
    {
        long start = _runtime.Time.GetTimestamp();
        var lease = await _registry.GrantLeaseAsync(_ttl, _stop.Token);
        byte[] json = _self.ToJson();
        long expected = 0;
        for (int i = 0; i < MostTries; i++)
        {
            var written = await _registry.WriteIfAsync(Key, json, lease.Id, expected, _stop.Token);
            if (written.Succeeded)
            {
                _lease = lease;
                _lastBeat = start;
                return null;
            }

            expected = written.Current?.ModRevision ?? 0;
            var holder = written.Current is { } current ? EngineRecord.FromJson(current.Value) : null;
            if (holder is not null && holder.Incarnation != _self.Incarnation && _answers(holder))
            {
                await _registry.RevokeLeaseAsync(lease.Id, CancellationToken.None);
                return new TransferError(TransferErrorCode.Metadata,
                    $"the name '{_self.Name}' is in use by a living engine at {holder.Address}");
            }
        }

        await _registry.RevokeLeaseAsync(lease.Id, CancellationToken.None);
        return new TransferError(TransferErrorCode.Metadata, $"the name '{_self.Name}' is fought over");
    }

    private async Task KeepAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await _runtime.Delay(_ttl / 3, _stop.Token);
                await BeatAsync();
            }
            catch (Exception e) when (e is RegistryException or OperationCanceledException)
            {
                if (!_stop.IsCancellationRequested && _gate.TryPass(out long more))
                    _log.LogWarning("engine_lease_not_kept reason={Reason} more={More}", e.Message, more);
            }
        }
    }

    private async Task BeatAsync()
    {
        await _one.WaitAsync();
        try
        {
            if (!_wanted)
                return;
            long start = _runtime.Time.GetTimestamp();
            bool mayLive = _lease is not null && _runtime.Time.GetElapsedTime(_lastBeat) < _lease.TimeToLive;
            if (mayLive && await _registry.KeepAliveAsync(_lease!.Id, _stop.Token) is not null)
            {
                _lastBeat = start;
                return;
            }

            _lease = null;
            if (await WriteAsync() is { } refused && _gate.TryPass(out long more))
                _log.LogError("engine_not_announced reason={Reason} more={More}", refused.Message, more);
        }
        finally
        {
            _one.Release();
        }
    }
}
