// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// A holder's side: tells what can be read here, connects queue pairs, and reads the bytes of puts from their callers
/// (rule A5). The queue pairs of a caller end with its connection. Thread-safe.
/// </summary>
internal sealed class RdmaServer(RdmaEngine engine, IReadOnlyList<LocalMemory> regions, IReservedMemory reserved,
    ILogger log) : IVerbsCalls
{
    /// <summary>Most callers at one time.</summary>
    private const int MostCallers = 1024;

    private readonly Lock _gate = new();
    private readonly Dictionary<PeerChannel, RdmaCaller> _callers = [];
    private readonly DeviceFlush _flush = new(engine.Time, log);

    /// <inheritdoc/>
    public MeshResult<VerbsOpenAnswer> Open(in VerbsOpenRequest request, PeerChannel channel)
    {
        string[] cards = new string[engine.Rails.Count];
        for (int i = 0; i < cards.Length; i++)
            cards[i] = engine.Rails[i].Device;
        var told = new RemoteRegion[regions.Count];
        for (int i = 0; i < told.Length; i++)
            told[i] = regions[i].Region;
        return new VerbsOpenAnswer(cards, told);
    }

    /// <inheritdoc/>
    public Task<MeshResult<VerbsPairAnswer>> PairAsync(VerbsPairRequest request, PeerChannel channel)
    {
        if (request.ToCard < 0 || request.ToCard >= engine.Rails.Count)
            return Refuse(MeshErrorCode.InvalidArgument, $"card {request.ToCard} of {engine.Rails.Count}");
        if (CallerOf(channel) is not { } caller)
            return Refuse(MeshErrorCode.Busy, $"{MostCallers} callers are connected to these cards");
        // Not on the connection's reader: the kernel may take its time.
        return Task.Run(async () => await caller.EnterAsync(request.Engine)
            ? Pair(request, caller)
            : new MeshError(MeshErrorCode.Unavailable, "verbs:pair", "the caller has given this up"));
    }

    /// <inheritdoc/>
    public async Task<MeshResult<VerbsPullAnswer>> PullAsync(VerbsPullRequest request, PeerChannel channel)
    {
        if (CallerOf(channel) is not { } caller || !await caller.EnterAsync(request.Engine))
            return new VerbsPullAnswer(PullCode.Unreachable, []);
        if (reserved.BeginWrite(request.Reservation) is not { } reservation)
            return new VerbsPullAnswer(PullCode.NoReservation, []);
        try
        {
            if (reservation.Size != request.Length)
                return new VerbsPullAnswer(PullCode.NoReservation, []);
            var outcome = await ReadAsync(request, reservation, caller);
            var working = caller.Peer.Working();
            var broken = new List<(int, int)>();
            for (int from = 0; from < request.Keys.Length / request.Source.Parts; from++)
            {
                for (int to = 0; to < engine.Rails.Count; to++)
                {
                    if (!working.Contains((from, to)))
                        broken.Add((from, to));
                }
            }

            return new VerbsPullAnswer(outcome switch
            {
                TransferOutcome.Done => PullCode.Done,
                TransferOutcome.Late => PullCode.Late,
                _ => PullCode.Unreachable,
            }, [.. broken]);
        }
        finally
        {
            reserved.EndWrite(request.Reservation);
        }
    }

    /// <inheritdoc/>
    public MeshResult<VerbsKeysAnswer> Keys(in VerbsKeysRequest request) =>
        new MeshError(MeshErrorCode.InvalidArgument, "verbs:keys", "a node's keys come with each queue pair");

    private static Task<MeshResult<VerbsPairAnswer>> Refuse(MeshErrorCode code, string message) =>
        Task.FromResult<MeshResult<VerbsPairAnswer>>(new MeshError(code, "verbs:pair", message));

    /// <summary>Reads all bytes, in however many extents they go; when it has ended nothing more lands.</summary>
    private async Task<TransferOutcome> ReadAsync(VerbsPullRequest request, Reservation reservation, RdmaCaller caller)
    {
        var source = new RemoteMemory(request.Source, request.Keys);
        var requests = new List<RdmaRequest>();
        var devices = new List<DeviceBuffer>();
        long from = request.Offset;
        var timeout = TimeSpan.FromMilliseconds(Math.Max(1, request.Milliseconds));
        long start = engine.Time.GetTimestamp();
        for (int i = 0; i < reservation.Extents.Count; i++)
        {
            var bytes = reservation.BytesOf(i);
            if (bytes.Length == 0)
                continue;
            var device = bytes.OnDevice;
            var extent = RangeOf(bytes, device);
            if (device is not null)
                devices.Add(device);
            if (engine.Find(extent, MemoryAccess.LocalWrite) is not { } memory)
                return TransferOutcome.Unreachable;
            requests.Add(new RdmaRequest(WorkKind.Read, extent.Address, memory, source, from, extent.Length));
            from += extent.Length;
        }

        var batch = new RdmaBatch([.. requests], engine.Options.SliceBytes);
        var outcome = await caller.RunAsync(request.Engine, batch, timeout, engine.Time);
        foreach (var device in devices)
        {
            if (outcome == TransferOutcome.Done)
                outcome = await _flush.RunAsync(device, engine.Time.LeftOf(timeout, start));
        }

        return outcome;
    }

    /// <summary>The memory of an extent, as the cards name it: nothing here follows the address of a device.</summary>
    private static unsafe NativeRange RangeOf(in SegmentBytes bytes, DeviceBuffer? device) =>
        bytes.TryHost(out byte* host)
            ? new NativeRange((nint)host, bytes.Length)
            : new NativeRange(device!.Ranges[0].Address, bytes.Length);

    private MeshResult<VerbsPairAnswer> Pair(VerbsPairRequest request, RdmaCaller caller)
    {
        Endpoint? made = null;
        try
        {
            if (engine.TryCreate(caller.Peer, request.ToCard, request.FromCard) is not var (endpoint, own))
                return new MeshError(MeshErrorCode.Unavailable, "verbs:pair", "the card is down, or full");
            made = endpoint;
            engine.Connect(endpoint, own, request.End);
            if (!caller.TryInstall(request.Engine, endpoint))
                return new MeshError(MeshErrorCode.Unavailable, "verbs:pair", "the caller has given this up");
            made = null;
            return new VerbsPairAnswer(own, KeysOf(request.ToCard));
        }
        catch (VerbsException e)
        {
            log.LogDebug("pair_failed card={Card} reason={Reason}", engine.Rails[request.ToCard].Device, e.Message);
            return new MeshError(MeshErrorCode.Unavailable, "verbs:pair", e.Message);
        }
        finally
        {
            made?.Life.Destroy(made);
        }
    }

    private uint[] KeysOf(int card)
    {
        int count = 0;
        foreach (var region in regions)
            count += region.Parts;
        uint[] keys = new uint[count];
        int place = 0;
        foreach (var region in regions)
        {
            region.CopyKeys(card, keys.AsSpan(place, region.Parts));
            place += region.Parts;
        }

        return keys;
    }

    private RdmaCaller? CallerOf(PeerChannel channel)
    {
        lock (_gate)
        {
            if (_callers.TryGetValue(channel, out var known))
                return known;
            if (_callers.Count >= MostCallers || !channel.IsOpen)
                return null;
            var caller = new RdmaCaller(engine.AddPeer(null));
            _callers.Add(channel, caller);
            _ = EndWithChannelAsync(channel, caller);
            return caller;
        }
    }

    private async Task EndWithChannelAsync(PeerChannel channel, RdmaCaller caller)
    {
        await channel.Closed;
        lock (_gate)
            _callers.Remove(channel);
        await engine.RemoveAsync(caller.Peer);
    }
}
