// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Engine.Tcp;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>Where the requests of an engine go.</summary>
/// <param name="Memory">What is registered here.</param>
/// <param name="Segments">The open segments.</param>
/// <param name="Works">The works under way.</param>
/// <param name="Self">Owner of copies within the process.</param>
/// <param name="Devices">Waits for streams of the caller's.</param>
/// <param name="Time">Clock.</param>
/// <param name="Limit">How long a transfer may take.</param>
internal sealed record TransferParts(RegisteredMemory Memory, EngineSegments Segments, ActiveWorks Works,
    WorkOwner Self, EngineDevices Devices, TimeProvider Time, TimeSpan Limit);

/// <summary>
/// Batches, and how their requests get on their way: each by the best transport that reaches both ends, small copies at
/// once on the caller's thread. Thread-safe.
/// </summary>
internal sealed class EngineTransfers : IAsyncDisposable
{
    /// <summary>Most batches at one time.</summary>
    public const int MostBatches = 65_536;

    /// <summary>Most requests of a batch.</summary>
    public const int MostRequests = 65_536;

    /// <summary>
    /// Copies of so many bytes together, at most, are made on the caller's thread: to wake another one takes as long as
    /// a good part of them. Benchmark: "mooncake-mesh bench transfer --transport engine".
    /// </summary>
    public const long CopiedHere = 4 << 20;

    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, EngineBatch> _batches = [];
    private readonly EngineQueues _copies;
    private readonly TransferParts _parts;
    private readonly SelfPath _self;
    private readonly int _copiers = Math.Clamp(Environment.ProcessorCount / 2, 1, 4);
    private ulong _lastBatch;

    /// <param name="parts">Where requests go.</param>
    /// <param name="transports">What is allowed now.</param>
    public EngineTransfers(TransferParts parts, Func<TransferTransports> transports)
    {
        _parts = parts;
        Transports = transports;
        _self = new SelfPath(parts.Memory);
        _copies = new EngineQueues("mesh-copy", new JobQueueBounds(_copiers * 2, EnginePeer.MostWaiting,
            TcpTransport.IdleLimit), parts.Time, static () => new EngineCopier());
    }

    /// <summary>What is allowed now.</summary>
    public Func<TransferTransports> Transports { get; }

    /// <summary>Makes a batch.</summary>
    public TransferResult<ulong> Allocate(int size)
    {
        if (size is < 1 or > MostRequests)
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"a batch of {size} requests: 1 to {MostRequests} are legal");
        }

        lock (_gate)
        {
            if (_batches.Count >= MostBatches)
                return new TransferError(TransferErrorCode.TooManyRequests, $"{MostBatches} batches, the limit");
            _batches.Add(++_lastBatch, new EngineBatch(_lastBatch, size));
            return _lastBatch;
        }
    }

    /// <summary>The batch of a number, or null.</summary>
    public EngineBatch? Find(ulong id)
    {
        lock (_gate)
            return _batches.GetValueOrDefault(id);
    }

    /// <summary>Forgets a batch.</summary>
    public TransferError? Free(ulong id)
    {
        lock (_gate)
        {
            if (!_batches.TryGetValue(id, out var batch))
                return NoBatch(id);
            if (batch.Status().State == TransferState.Pending)
                return new TransferError(TransferErrorCode.BatchBusy, $"a task of batch {id} is not over");
            _batches.Remove(id);
            return null;
        }
    }

    /// <summary>Starts requests.</summary>
    public TransferError? Submit(ulong id, ReadOnlySpan<TransferRequest> requests, TransferNotify? notify)
    {
        if (Find(id) is not { } batch)
            return NoBatch(id);
        if (requests.IsEmpty)
        {
            return notify is null ? null : new TransferError(TransferErrorCode.InvalidArgument,
                "there are no requests to notify of");
        }

        if (notify is not null && NotifyQueue.Check(notify) is { } wrong)
            return wrong;
        var regions = EngineArrays<RegisteredRegion?>.Pool.Rent(requests.Length);
        int entered = 0;
        TransferError? error = null;
        for (; entered < requests.Length && error is null; entered++)
            error = Enter(requests[entered], out regions[entered]);
        int target = requests[0].TargetId;
        int first = error is null
            ? batch.Begin(requests, notify is null ? null : new BatchNotify(notify, (b, n) => Notify(target, b, n)))
            : -1;
        if (first < 0)
        {
            for (int i = 0; i < entered; i++)
                regions[i]?.Leave();
        }
        else
        {
            Launch(batch, first, requests, regions);
        }

        EngineArrays<RegisteredRegion?>.Pool.Return(regions, clearArray: true);
        return first >= 0 ? null : error ?? new TransferError(TransferErrorCode.TooManyRequests,
            $"batch {id} has no room for {requests.Length} more requests");
    }

    /// <summary>Waits, for as long as a transfer may take, for the work that is on a stream of the caller's.</summary>
    /// <param name="requests">What is to be moved after it.</param>
    /// <param name="stream">The stream; 0: the default stream of each device that a source is on.</param>
    /// <returns>As <see cref="EngineDevices.Await"/>.</returns>
    public TransferResult<bool> AwaitStream(ReadOnlySpan<TransferRequest> requests, nint stream)
    {
        var on = new HashSet<RegionDevice>();
        foreach (ref readonly var request in requests)
        {
            if (request.Length > 0 && _parts.Memory.DeviceAt((ulong)request.Source) is { } device)
                on.Add(device);
        }

        return _parts.Devices.Await(on, stream, _parts.Limit);
    }

    /// <summary>Sends a message and waits.</summary>
    public async Task<EntryStatus> NotifyAsync(EnginePeer peer, TransferNotify message)
    {
        var status = EntryStatus.Unreachable;
        var job = new NotifyJob(message, ended => status = ended);
        peer.Add(job);
        await job.EndAsync(_parts.Limit, _parts.Time, CancellationToken.None);
        return status;
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _copies.DisposeAsync();

    private static TransferError NoBatch(ulong id) =>
        new(TransferErrorCode.InvalidArgument, $"there is no batch {id}");

    /// <summary>Checks a request, and enters the memory that its source is in; none for an empty one.</summary>
    private TransferError? Enter(in TransferRequest request, out RegisteredRegion? region)
    {
        region = null;
        if (request.Opcode is not (TransferOpcode.Read or TransferOpcode.Write))
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"opcode {(int)request.Opcode}: 0 and 1 are legal");
        }

        if (request.TargetId != 0 && _parts.Segments.Find(request.TargetId) is null)
            return new TransferError(TransferErrorCode.InvalidArgument, $"segment {request.TargetId} is not open");
        if (request.Length == 0)
            return null;
        if (request.Length > long.MaxValue || request.TargetOffset > ulong.MaxValue - request.Length)
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"{request.Length} bytes at 0x{request.TargetOffset:x} of the target go past the end of its addresses");
        }

        if (RegisteredMemory.Check((ulong)request.Source, request.Length) is { } invalid)
            return invalid;
        region = _parts.Memory.Enter((ulong)request.Source, request.Length);
        return region is not null ? null : new TransferError(TransferErrorCode.AddressNotRegistered,
            $"source of {request.Length} bytes at 0x{request.Source:x} is not registered as one range");
    }

    /// <summary>Gives requests that go the same way to one work, and these to those who do them.</summary>
    private void Launch(EngineBatch batch, int first, ReadOnlySpan<TransferRequest> requests,
        RegisteredRegion?[] regions)
    {
        for (int i = 0; i < requests.Length; i++)
        {
            // What has no region is empty, or was given to a work before.
            if (requests[i].Length == 0)
                batch.Ended(first + i, 0, EntryStatus.Done);
            if (regions[i] is null)
                continue;
            int target = requests[i].TargetId;
            var peer = target == 0 ? null : _parts.Segments.Find(target);
            var way = WayOf(target, peer, requests[i], regions[i]!);
            var cards = way.ByCards ? CardsTo(peer) : null;
            var owner = target == 0 ? _parts.Self : way.Path is not null ? peer!.ByCopies
                : cards is not null ? peer!.OverCards : peer?.OverTcp;
            var work = new EngineWork(batch, way.Path, owner ?? _parts.Self, requests.Length - i, way.Device);
            for (int j = i; j < requests.Length; j++)
            {
                if (regions[j] is not { } region || requests[j].TargetId != target
                    || (j > i && WayOf(target, peer, requests[j], region) != way))
                    continue;
                work.Add(requests[j], first + j, region);
                regions[j] = null;
            }

            Start(work, peer, cards);
        }
    }

    private Way WayOf(int target, EnginePeer? peer, in TransferRequest request, RegisteredRegion region)
    {
        if (target == 0)
            return new Way(_self, region.Device ?? _parts.Memory.DeviceAt(request.TargetOffset), false);
        // Neither the kernel's copies nor shared memory reach a device's memory.
        if (region.Device is not null)
            return new Way(null, region.Device, region.Cards is not null);
        return peer?.Session is { } session && session.IsAllowed(Transports())
            && session.Reaches(request.TargetOffset, request.Length) ? new Way(session, null, false)
            : new Way(null, null, true);
    }

    private void Start(EngineWork work, EnginePeer? peer, ICardRoute? cards)
    {
        if (!_parts.Works.TryAdd(work))
        {
            work.GiveUp(EntryStatus.Ended);
            return;
        }

        // The caller's thread does not wait for a device.
        if (work.Path is not null && work.Device is null && work.Bytes <= CopiedHere)
        {
            var entries = EngineArrays<EngineEntry>.Pool.Rent(EngineRequest.MostEntries);
            work.RunHere(entries.AsSpan(0, EngineRequest.MostEntries));
            EngineArrays<EngineEntry>.Pool.Return(entries);
            return;
        }

        if (work.Path is not null)
        {
            foreach (var ticket in work.Start(_copiers, EngineWork.MostRunBytes, _parts.Limit, WorkTicket.Of))
            {
                if (!_copies.TryAdd(ticket, work.Device))
                    ticket.Finish(TransferOutcome.Unreachable);
            }

            return;
        }

        bool tcp = Transports().HasFlag(TransferTransports.Tcp);
        if (cards is not null)
        {
            Action<EngineWork>? leave = tcp ? peer!.Take : null;
            foreach (var ticket in work.Start(CardTicket.Lanes, EngineWork.MostRunBytes, _parts.Limit,
                w => new CardTicket(w, cards, leave)))
                peer!.Add(ticket);
        }
        else if (peer is not null && tcp)
        {
            // From a device comes more than one chunk, so that one travels while the next is read.
            long most = work.Device is null ? EngineWork.MostFrameBytes : EngineWork.MostRunBytes;
            foreach (var ticket in work.Start(peer.Connections, most, _parts.Limit, WorkTicket.Of))
                peer.Add(ticket, work.Device);
        }
        else
        {
            work.GiveUp(EntryStatus.NotLocal);
        }
    }

    /// <summary>How requests go: those that have the same are one work.</summary>
    /// <param name="Path">Who copies; null: cards or sockets.</param>
    /// <param name="Device">The device that is waited for here, or null.</param>
    /// <param name="ByCards">Whether the cards reach the source.</param>
    private readonly record struct Way(ICopyPath? Path, RegionDevice? Device, bool ByCards);

    /// <summary>The cards' way, where it is allowed and works, or there is no other.</summary>
    private ICardRoute? CardsTo(EnginePeer? peer) =>
        peer?.Cards is { } route && Transports() is var allowed && allowed.HasFlag(TransferTransports.Rdma)
        && (route.IsHopeful || !allowed.HasFlag(TransferTransports.Tcp)) ? route : null;

    private void Notify(int target, EngineBatch batch, BatchNotify notify)
    {
        // To oneself there is nobody to tell but the own queue.
        if (target == 0)
        {
            batch.Notified(notify, SelfNotify?.Invoke(notify.Message) ?? EntryStatus.Full);
            return;
        }

        if (_parts.Segments.Find(target) is not { } peer)
        {
            batch.Notified(notify, EntryStatus.Unreachable);
            return;
        }

        var job = new NotifyJob(notify.Message, status => batch.Notified(notify, status));
        peer.Add(job);
        // Its deadline; the end itself is told to the batch.
        _ = job.EndAsync(_parts.Limit, _parts.Time, CancellationToken.None);
    }

    /// <summary>Takes messages to this engine itself.</summary>
    public Func<TransferNotify, EntryStatus>? SelfNotify { get; init; }
}
