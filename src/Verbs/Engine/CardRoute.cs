// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Mesh;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Engine;

/// <summary>
/// The cards' way to another engine: its queue pairs, which end with the connection they were asked for over, and the
/// keys of its memory, each asked for when it is first wanted. Thread-safe.
/// </summary>
/// <param name="engine">The cards.</param>
/// <param name="deviceWrites">Has everybody see what they write into devices.</param>
/// <param name="links">Makes what connects to the peer.</param>
/// <param name="peer">The other engine.</param>
/// <param name="log">Told of a peer that is not reached.</param>
internal sealed class CardRoute(RdmaEngine engine, DeviceWrites deviceWrites, PeerLinks links, NodeRecord peer,
    ILogger log) : ICardRoute
{
    /// <summary>How long a peer that was not reached is not tried, where there is another way.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan OpenTimeout = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan AskTimeout = TimeSpan.FromSeconds(1);

    /// <summary>How often keys that have gone meanwhile are asked for anew.</summary>
    private const int MostRefusals = 3;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(500);

    private readonly KnownMemory _known = new();
    private readonly Lock _gate = new();
    private Task<RdmaTarget?>? _opening;
    private RdmaTarget? _target;
    private bool _hasFailed;
    private long _failedAt;
    private bool _closed;

    /// <inheritdoc/>
    public bool IsHopeful
    {
        get
        {
            lock (_gate)
                return !_closed && (!_hasFailed || engine.Time.GetElapsedTime(_failedAt) >= Quiet);
        }
    }

    /// <inheritdoc/>
    public async Task<bool> IsOpenAsync(TimeSpan patience)
    {
        long start = engine.Time.GetTimestamp();
        var pause = TimeSpan.Zero;
        while (await TargetAsync() is null)
        {
            if (engine.Time.GetElapsedTime(start) >= patience)
                return false;
            pause = await PauseAsync(pause, CancellationToken.None);
        }

        return true;
    }

    /// <inheritdoc/>
    public async Task MoveAsync(TransferOpcode opcode, EngineEntry[] entries, int count, TimeSpan patience,
        CancellationToken stop)
    {
        for (int i = 0; i < count; i++)
            entries[i].Status = EntryStatus.Unreachable;
        long start = engine.Time.GetTimestamp();
        var pause = TimeSpan.Zero;
        for (int refusals = 0; refusals < MostRefusals;)
        {
            var end = await TryAsync(opcode, entries, count, stop);
            if (end == RunEnd.Over || stop.IsCancellationRequested)
                return;
            refusals += end == RunEnd.Refused ? 1 : 0;
            if (end == RunEnd.Refused)
                continue;
            if (pause > TimeSpan.Zero && engine.Time.GetElapsedTime(start) >= patience)
                break;
            pause = await PauseAsync(pause, stop);
        }

        Failed("no card reaches it");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        RdmaTarget? target;
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
            target = _target;
        }

        links.Close();
        if (target is not null)
            await engine.RemoveAsync(target.Peer);
    }

    /// <summary>Waits, each time twice as long; the first time hardly at all.</summary>
    private async Task<TimeSpan> PauseAsync(TimeSpan before, CancellationToken stop)
    {
        var pause = before == TimeSpan.Zero ? FirstPause : before * 2 < LongestPause ? before * 2 : LongestPause;
        try
        {
            await Task.Delay(pause, engine.Time, stop);
        }
        catch (OperationCanceledException)
        {
            // The caller looks at the token.
        }

        return pause;
    }

    /// <summary>Has the pieces moved once that have not ended.</summary>
    private async Task<RunEnd> TryAsync(TransferOpcode opcode, EngineEntry[] entries, int count, CancellationToken stop)
    {
        if (await TargetAsync() is not { } target)
            return RunEnd.Unreachable;
        var requests = await RequestsAsync(target, opcode, entries, count);
        if (requests.Length == 0)
            return RunEnd.Over;
        var batch = new RdmaBatch(requests, engine.Options.SliceBytes, endsWhenRefused: true);
        if (await RunAsync(target.Peer, batch, stop) == TransferOutcome.Done
            && await PushAsync(target.Peer, batch, stop))
        {
            if (opcode == TransferOpcode.Read)
                await deviceWrites.FlushAsync(entries, count);
            End(entries.AsSpan(0, count));
            Worked();
            return RunEnd.Over;
        }

        // Also where the peer's card did not refuse: one of its cards may have come back with other keys.
        _known.Clear();
        return batch.IsRefused ? RunEnd.Refused : RunEnd.Unreachable;
    }

    private static void End(Span<EngineEntry> entries)
    {
        foreach (ref var entry in entries)
        {
            if (entry.IsWithCards)
                entry.Status = EntryStatus.Done;
        }
    }

    /// <summary>Pushes what a batch wrote into devices of the peer to its place; false: it may not be there.</summary>
    private async ValueTask<bool> PushAsync(RdmaPeer over, RdmaBatch written, CancellationToken stop)
    {
        if (await deviceWrites.ReadsAfterAsync(written) is not { } reads)
            return false;
        return reads.Length == 0 || await RunAsync(over, new RdmaBatch(reads, engine.Options.SliceBytes,
            endsWhenRefused: true), stop) == TransferOutcome.Done;
    }

    private async Task<TransferOutcome> RunAsync(RdmaPeer over, RdmaBatch batch, CancellationToken stop)
    {
        var ended = over.RunAsync(batch);
        try
        {
            await ended.EndsWithinAsync(Timeout.InfiniteTimeSpan, engine.Time, stop);
        }
        catch (OperationCanceledException)
        {
            // What is on its way must have ended before the caller's memory is his again.
            return await over.GiveUpAsync(batch, TransferOutcome.Late);
        }

        return await ended;
    }

    /// <summary>
    /// What the cards are to do. A piece that the peer refuses has that status from then on, and one without cards here
    /// or there stays unreachable.
    /// </summary>
    private async Task<RdmaRequest[]> RequestsAsync(RdmaTarget target, TransferOpcode opcode, EngineEntry[] entries,
        int count)
    {
        var kind = opcode == TransferOpcode.Read ? WorkKind.Read : WorkKind.Write;
        var requests = new RdmaRequest[count];
        int made = 0;
        for (int i = 0; i < count; i++)
        {
            entries[i].IsWithCards = false;
            if (entries[i].Status != EntryStatus.Unreachable || entries[i].Region.Cards is not CardMemory own)
                continue;
            var (address, length) = (entries[i].Remote, entries[i].Length);
            if (Known(address, length, out long offset) is not { } memory)
            {
                entries[i].Status = await AskAsync(target, address, length);
                if (Known(address, length, out offset) is not { } found)
                    continue;
                memory = found;
            }

            if (!memory.IsReached)
                continue;
            entries[i].IsWithCards = true;
            requests[made++] = new RdmaRequest(kind, entries[i].Local, own.Memory, memory, offset, length);
        }

        Array.Resize(ref requests, made);
        return requests;
    }

    /// <summary>Memory of the peer; that which no card reaches is asked for anew after a while.</summary>
    private RemoteMemory? Known(ulong address, long length, out long offset) =>
        _known.Find(address, length, out offset) is { } memory
        && (memory.IsReached || engine.Time.GetElapsedTime(memory.AskedAt) < Quiet) ? memory : null;

    /// <summary>Asks for the keys of a range; Unreachable: they are known now, or could not be had.</summary>
    private async Task<EntryStatus> AskAsync(RdmaTarget target, ulong address, long length)
    {
        var answer = await target.Channel.CallAsync<VerbsKeysRequest, VerbsKeysAnswer>(
            new VerbsKeysRequest(address, (ulong)length, PushesToDevices: true), AskTimeout, CancellationToken.None);
        if (!answer.Succeeded)
            return EntryStatus.Unreachable;
        var (code, region, keys, device) = answer.Value;
        if (code is KeysCode.Reached or KeysCode.NotByCards)
        {
            _known.Add(region, new RemoteMemory(region, code == KeysCode.Reached ? keys : [])
            {
                Device = device,
                AskedAt = engine.Time.GetTimestamp(),
            });
        }

        return code switch
        {
            KeysCode.NotRegistered => EntryStatus.NotRegistered,
            KeysCode.NotRemote => EntryStatus.NotRemote,
            _ => EntryStatus.Unreachable,
        };
    }

    /// <summary>The peer's cards, asked for where they are not known or the connection is over; null: no way.</summary>
    private Task<RdmaTarget?> TargetAsync()
    {
        lock (_gate)
        {
            if (_closed)
                return Task.FromResult<RdmaTarget?>(null);
            if (_target is { IsOpen: true } || _opening is { IsCompleted: false })
                return _opening!;
            _known.Clear();
            return _opening = Task.Run(OpenAsync);
        }
    }

    private async Task<RdmaTarget?> OpenAsync()
    {
        var opened = await RdmaTarget.OpenAsync(engine, links, peer, log, OpenTimeout, CancellationToken.None);
        if (!opened.Succeeded)
        {
            Failed(opened.Error!.Message);
            return null;
        }

        bool closed;
        lock (_gate)
        {
            _target = opened.Value;
            closed = _closed;
        }

        if (closed)
            await engine.RemoveAsync(opened.Value.Peer);
        return closed ? null : opened.Value;
    }

    private void Worked()
    {
        if (!Volatile.Read(ref _hasFailed))
            return;
        lock (_gate)
            _hasFailed = false;
    }

    private void Failed(string reason)
    {
        bool first;
        lock (_gate)
        {
            first = !_hasFailed && !_closed;
            _hasFailed = true;
            _failedAt = engine.Time.GetTimestamp();
        }

        if (first)
            log.LogWarning("engine_rdma_fallback peer={Peer} reason={Reason}", peer.NodeId, reason);
    }

    /// <summary>How one try ended.</summary>
    private enum RunEnd
    {
        /// <summary>Nothing is left to be tried.</summary>
        Over,

        /// <summary>The peer's card refused a key.</summary>
        Refused,

        /// <summary>The peer was not reached, or the run was broken.</summary>
        Unreachable,
    }
}
