// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// What this node does as a holder (rank 0): reads under a pin, drops, lists. Waits for nothing but a device that has
/// the bytes.
/// </summary>
internal sealed class HolderService(ObjectStore store, DeviceQueues? devices, ReservationBook book,
    ClientProcesses processes, PublishFlow publish, EvictionFlow eviction, ClearFlow clear, OwnIncarnation incarnation,
    IPinRule pins)
    : IHolderCalls
{
    /// <summary>Longest time that a device may take for what travels on the control channel.</summary>
    private static readonly TimeSpan DeviceLimit = TimeSpan.FromSeconds(2);

    /// <summary>The view this node acts on.</summary>
    public Func<ViewId> ActsOn { get; init; } = static () => default;

    /// <summary>Which life of the node the memory belongs to.</summary>
    public ulong Incarnation => incarnation.Value;

    private const int PageObjects = Wire.MaxBatch;
    private const int MostLookedAt = 16 * Wire.MaxBatch;
    private readonly KeyMatcher _matcher = new(store);

    /// <inheritdoc/>
    public Done Drop(in DropRequest request)
    {
        int dropped = 0;
        foreach (var item in request.Items)
        {
            if (store.Drop(item.Key, item.ObjectId) || publish.DropWhilePublishing(item.ObjectId))
                dropped++;
        }

        return new Done(dropped);
    }

    /// <inheritdoc/>
    public ValueTask<MeshResult<ReadAnswer>> ReadAsync(in ReadRequest request)
    {
        if (request.Length is < 0 or > Wire.MaxInline || request.Skip < 0)
        {
            return Refused($"length {request.Length} from {request.Skip}; a read on the control channel has at most "
                + $"{Wire.MaxInline} bytes");
        }

        if (!store.TryPin(request.SegmentId, request.Offset, request.Generation, out var pin))
            return new(new ReadAnswer(false, ReadOnlyMemory<byte>.Empty));
        bool given = false;
        try
        {
            // Not their sum: it may be past the greatest number.
            if (request.Skip > pin.Length - request.Length)
                return Refused($"{request.Length} bytes from {request.Skip} of an object of {pin.Length} bytes");
            var bytes = pin.Bytes.Part(request.Skip, request.Length);
            given = bytes.IsOnDevice && bytes.Length > 0;
            return given ? new(ReadDeviceAsync(pin, bytes)) : new(new ReadAnswer(true, Copy(bytes)));
        }
        finally
        {
            if (!given)
                pin.Dispose();
        }
    }

    private static ValueTask<MeshResult<ReadAnswer>> Refused(string why) =>
        new(new MeshError(MeshErrorCode.InvalidArgument, "read", why));

    private async Task<MeshResult<ReadAnswer>> ReadDeviceAsync(ExtentPin pin, SegmentBytes bytes)
    {
        using (pin)
        {
            var from = DeviceMoves.RangeOf(bytes);
            using var to = new ArrayTarget();
            var move = new DeviceMove(from, to.Prepare(bytes.Length).Value, null);
            return await devices!.RunAsync(move, DeviceLimit, CancellationToken.None) == TransferOutcome.Done
                ? new ReadAnswer(true, to.Array)
                : from.Device!.Failure ?? new MeshError(MeshErrorCode.Busy, "read",
                    $"too many reads wait for {from.Device!.Location}");
        }
    }

    /// <inheritdoc/>
    public HolderPage List(in HolderListRequest request)
    {
        // Before the list: what is not in it will be decided in this view at the earliest.
        var view = ActsOn();
        return ListFrom(request) with { View = view };
    }

    private HolderPage ListFrom(in HolderListRequest request)
    {
        var records = new List<KeyedRecord>();
        var held = new List<HeldObject>();
        ulong from = request.FromHash;
        int bytes = 0, looked = 0;
        int shift = request.SlotCount > 1 ? 64 - int.Log2(request.SlotCount) : 0;
        while (true)
        {
            held.Clear();
            int found = store.ListRange(from, ulong.MaxValue, PageObjects, held);
            ulong last = from;
            foreach (var item in held)
            {
                // A page ends, full or not, when so much was looked at: others wait for this handler.
                if (++looked > MostLookedAt && item.Key.Hash != last)
                    return new HolderPage([.. records], item.Key.Hash);
                last = item.Key.Hash;
                if (Wanted(request, item.Key, shift))
                {
                    // Objects of one hash are never split over pages: the next page starts at a hash.
                    bool full = bytes >= Wire.BatchBytes || records.Count >= Wire.MaxBatch - 8;
                    if (full && item.Key.Hash != records[^1].Key.Hash)
                        return new HolderPage([.. records], item.Key.Hash);
                    var record = new KeyedRecord(item.Key, RecordOf(item));
                    records.Add(record);
                    bytes += record.WireBytes;
                }
            }

            if (found < PageObjects || held[^1].Key.Hash == ulong.MaxValue)
                return new HolderPage([.. records], 0);
            from = held[^1].Key.Hash + 1;
        }
    }

    /// <inheritdoc/>
    public Done Abandon(in AbandonRequest request) => new(book.Abandon(request.ReservationId) ? 1 : 0);

    /// <inheritdoc/>
    public MeshResult<Done> Pin(in PinRequest request)
    {
        if (new HeldAttributes(request.Pin, null).Validate("pin") is { } invalid)
            return invalid;
        var pinned = store.Pin(request.Key, request.ObjectId, request.Pin);
        return pinned.Succeeded ? new Done(pinned.Value ? 1 : 0) : pinned.Error!;
    }

    /// <inheritdoc/>
    public Done DropGroup(in DropGroupRequest request) => new(eviction.DropGroup(request.Group));

    /// <inheritdoc/>
    public ClearAnswer Clear(in ClearRequest request) => new(clear.Done);

    /// <inheritdoc/>
    public MeshResult<MatchPage> Match(in MatchRequest request) => _matcher.Match(request);

    /// <inheritdoc/>
    public MeshResult<ViewAnswer> View(in ViewExtentRequest request)
    {
        if (processes.Find(request.Client) is not { } process)
            return ClientProcess.Unknown("view");
        Close(process, request.Closed);
        if (request.View == 0 || !store.TryPin(request.SegmentId, request.Offset, request.Generation, out var pin))
            return new ViewAnswer(false);
        if (pin.Bytes.IsOnDevice)
        {
            pin.Dispose();
            return new MeshError(MeshErrorCode.Unavailable, "view", "this object is in memory of a device");
        }

        return process.TryOpenView(request.View, pins.Hold(pin)) is { } refusal ? refusal : new ViewAnswer(true);
    }

    /// <inheritdoc/>
    public MeshResult<ViewKeyAnswer> View(in ViewKeyRequest request, LocateAnswer located)
    {
        if (processes.Find(request.Client) is not { } process)
            return ClientProcess.Unknown("view");
        Close(process, request.Closed);
        var replicas = located.RecordOf(0)?.Replicas ?? [];
        int here = Array.FindIndex(replicas, replica => replica.Incarnation == incarnation.Value);
        if (here < 0 || !store.TryPin(replicas[here].SegmentId, replicas[here].Offset, replicas[here].Generation,
            out var pin))
            return new ViewKeyAnswer(located, -1);
        if (pin.Bytes.IsOnDevice)
        {
            pin.Dispose();
            return new ViewKeyAnswer(located, -1);
        }

        return process.TryOpenView(request.View, pins.Hold(pin)) is { } refusal
            ? refusal
            : new ViewKeyAnswer(located, here);
    }

    /// <inheritdoc/>
    public SumsAnswer Sums(in SumsRequest request)
    {
        if (!store.TryPin(request.SegmentId, request.Offset, request.Generation, out var pin))
            return new SumsAnswer(false, [], []);
        using (pin)
        {
            var extents = new ExtentOnWire[pin.Extents().Length];
            for (int i = 0; i < extents.Length; i++)
            {
                var extent = pin.Extents()[i];
                extents[i] = new ExtentOnWire(extent.SegmentId, extent.Offset, extent.Length, extent.Generation);
            }

            return new SumsAnswer(true, pin.Sums(), extents);
        }
    }

    private void Close(ClientProcess process, ulong[] views)
    {
        foreach (ulong view in views)
            process.CloseView(view);
        processes.EndIfDone(process);
    }

    /// <summary>The record of an object with the one replica that is here.</summary>
    public ObjectRecord RecordOf(HeldObject held) => new()
    {
        Version = held.Version,
        ObjectId = held.ObjectId,
        Size = held.Size,
        Checksum = held.Checksum,
        Cleared = held.Cleared,
        Replicas = [ReplicaOf(held, incarnation.Value)],
    };

    /// <summary>Where an object is, as records say it.</summary>
    public static Replica ReplicaOf(HeldObject held, ulong incarnation) => new(incarnation,
        held.Extent.SegmentId | (held.IsScattered ? Replica.Scattered : 0), held.Extent.Offset,
        held.Extent.Generation);

    private static bool Wanted(in HolderListRequest request, in MeshKey key, int shift)
    {
        if (request.Prefix.Length > 0 && !key.Bytes.AsSpan().StartsWith(request.Prefix))
            return false;
        return request.SlotCount <= 1 || request.Slots.Contains((int)(key.Hash >> shift));
    }

    private static unsafe byte[] Copy(in SegmentBytes bytes) => bytes.TryHost(out byte* from)
        ? new ReadOnlySpan<byte>(from, (int)bytes.Length).ToArray()
        : [];
}
