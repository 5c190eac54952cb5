// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>What this node does for clients (rank 2): takes puts as a holder, removes as the acting primary.</summary>
internal sealed class ClientService(FlowContext context, HolderParts holder, OwnerService owner,
    RemoveAllFlow removeAll) : IClientCalls
{
    private static readonly TimeSpan LongestPut = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestRemoveAll = TimeSpan.FromMinutes(5);
    private readonly RecordMirror _mirror = new(context);

    /// <summary>Set when the node leaves: it takes no new puts.</summary>
    public bool Leaving { get; set; }

    /// <inheritdoc/>
    public async Task<MeshResult<PutAnswer>> PutAsync(PutRequest request, CancellationToken cancel)
    {
        var deadline = DeadlineOf(request.Head.TimeoutMilliseconds);
        var begun = BeginAsync(request.Head, deadline, cancel);
        // The value lies in the frame it came in, which goes back once this waits.
        if (!begun.IsCompletedSuccessfully)
            request = request with { Value = request.Value.ToArray() };
        var reservation = await begun;
        if (!reservation.Succeeded)
            return reservation.Error!;
        if (await TryCopyInAsync(request.Value, reservation.Value, deadline, cancel) is { } failed)
        {
            holder.Store.Abort(reservation.Value);
            return failed;
        }

        return await FinishAsync(reservation.Value, request.Head, request.Checksum, deadline, cancel);
    }

    /// <inheritdoc/>
    public async Task<MeshResult<ReserveAnswer>> ReserveAsync(ReserveRequest request, PeerChannel? from,
        CancellationToken cancel)
    {
        var deadline = DeadlineOf(request.Head.TimeoutMilliseconds);
        if (request.Client != 0)
            return await ReserveOwnedAsync(request, deadline, cancel);
        var reservation = await BeginAsync(request.Head, deadline, cancel);
        if (!reservation.Succeeded)
            return reservation.Error!;
        var id = holder.Book.Add(reservation.Value, request.Head, from);
        return id.Succeeded ? new ReserveAnswer(id.Value) : id.Error!;
    }

    /// <summary>Reserves for a process of this host that fills the extent itself (rule A5).</summary>
    private async Task<MeshResult<ReserveAnswer>> ReserveOwnedAsync(ReserveRequest request, Deadline deadline,
        CancellationToken cancel)
    {
        if (holder.Processes.Find(request.Client) is not { } process)
            return ClientProcess.Unknown(ClientProcess.ReserveStage);
        if (process.TryReserve(request.Head.Size) is { } refusal)
            return refusal;
        var reservation = await BeginAsync(request.Head, deadline, cancel);
        if (!reservation.Succeeded)
        {
            process.Unreserve(request.Head.Size);
            return reservation.Error!;
        }

        if (reservation.Value.IsScattered || reservation.Value.BytesOf(0).IsOnDevice)
        {
            // The process is told of one range only, in memory that it can map; the holder itself fills any.
            holder.Store.Abort(reservation.Value);
            process.Unreserve(request.Head.Size);
            return new MeshError(MeshErrorCode.NoSpace, ClientProcess.ReserveStage,
                $"no single hole for {request.Head.Size} bytes in memory that can be mapped");
        }

        if (!holder.Book.TryAddOwned(request.ReservationId, reservation.Value, request.Head, process))
            return new MeshError(MeshErrorCode.Cancelled, "reserve", "the reservation was given up before it was made");
        var extent = reservation.Value.Extents[0];
        return new ReserveAnswer(request.ReservationId, extent.SegmentId, extent.Offset);
    }

    /// <inheritdoc/>
    public async Task<MeshResult<PutAnswer>> SealAsync(SealRequest request, CancellationToken cancel)
    {
        if (holder.Book.Take(request.ReservationId) is not { } taken)
            return new MeshError(MeshErrorCode.NotFound, "seal", "the reservation has ended or is still written to");
        // Bytes that the process put there itself are summed by it alone; the sums must make up the checksum.
        if (taken.Owner is not null && taken.Reservation.Sums is null)
            taken.Reservation.Sums = SliceSums.From(taken.Reservation.Size, request.Sums, request.Checksum);
        var deadline = DeadlineOf(taken.Head.TimeoutMilliseconds);
        return await FinishAsync(taken.Reservation, taken.Head, request.Checksum, deadline, cancel);
    }

    /// <inheritdoc/>
    public async Task<MeshResult<OwnerAnswers>> RemoveAsync(RemoveRequest request, CancellationToken cancel)
    {
        if (request.Key.Validate() is { } invalid)
            return invalid;
        var deadline = DeadlineOf(request.TimeoutMilliseconds);
        var answers = owner.Remove(request.Key, request.Seen, out var removed);
        if (removed is null)
            return answers;
        var tombstone = answers.Items[0].Record!;
        var mirror = MirrorAsync(request.Key, tombstone, answers.View, deadline, cancel);
        await Task.WhenAll(mirror, holder.Drops.TellAsync(request.Key, removed, deadline, cancel));
        // An owner that has not heard of it would find the object still.
        return (await mirror).IsAstray && deadline.Passed ? deadline.Error("remove") : answers;
    }

    /// <inheritdoc/>
    public async Task<MeshResult<RemoveAllAnswer>> RemoveAllAsync(RemoveAllRequest request, CancellationToken cancel)
    {
        if (request.Namespace != ClearCounter.DefaultNamespace)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, "remove-all",
                $"namespace is '{request.Namespace}'; there is only '{ClearCounter.DefaultNamespace}'");
        }

        var limit = TimeSpan.FromMilliseconds(Math.Max(1, request.TimeoutMilliseconds));
        return await removeAll.RunAsync(
            new Deadline(context.Runtime.Time, limit < LongestRemoveAll ? limit : LongestRemoveAll), cancel);
    }

    /// <summary>Copies a value that came inside its request; null, or why that failed.</summary>
    private async ValueTask<MeshError?> TryCopyInAsync(ReadOnlyMemory<byte> value, Reservation reservation,
        Deadline deadline, CancellationToken cancel)
    {
        if (!reservation.BytesOf(0).IsOnDevice || value.IsEmpty)
        {
            CopyIn(value.Span, reservation);
            return null;
        }

        using var pinned = new PinnedMemory(value.ToArray());
        var sums = new SliceSums(value.Length);
        var to = DeviceMoves.RangeOf(reservation.BytesOf(0));
        var outcome = await context.Devices!.RunAsync(new DeviceMove(pinned.Range, to, sums),
            deadline.AtMost(deadline.Left), cancel);
        reservation.Sums = sums;
        return outcome == TransferOutcome.Done ? null : to.Device!.Failure ?? deadline.Error("put");
    }

    private static unsafe void CopyIn(ReadOnlySpan<byte> value, Reservation reservation)
    {
        if (reservation.BytesOf(0).TryHost(out byte* to))
            value.CopyTo(new Span<byte>(to, value.Length));
    }

    /// <summary>The sums that were made while the bytes came, or else now; null: a device does not give them.</summary>
    private async ValueTask<SliceSums?> SumsOfAsync(Reservation reservation, Deadline deadline,
        CancellationToken cancel)
    {
        if (reservation.Sums is not null)
            return reservation.Sums;
        var sums = new SliceSums(reservation.Size);
        var outcome = context.Devices is { } devices && ReservedExtents.AnyOnDevice(reservation)
            ? await ReservedExtents.EachAsync(reservation, sums, devices, (extent, _, part) =>
                new DeviceMove(extent, default, part), () => deadline.AtMost(deadline.Left), cancel)
            : ReservedExtents.Each(reservation, sums, (extent, _, part) =>
                DeviceMoves.Sum(extent, part!, TimeSpan.Zero, null));
        return reservation.Sums = outcome == TransferOutcome.Done ? sums : null;
    }

    private async Task<MeshResult<Reservation>> BeginAsync(PutHead head, Deadline deadline, CancellationToken cancel)
    {
        if (head.Key.Validate() is { } invalid)
            return invalid;
        if (Leaving)
            return new MeshError(MeshErrorCode.NoSpace, "put", "the node is leaving and takes no new objects");
        // After a stop the requests of that time are still in the sockets, and their callers have gone on elsewhere.
        if (!owner.Confident)
            return new MeshError(MeshErrorCode.Busy, "put", "the node was stopped or is cut off, and is not sure yet");
        return await holder.Eviction.ReserveAsync(head, deadline, cancel);
    }

    private async Task<MeshResult<PutAnswer>> FinishAsync(Reservation reservation, PutHead head, ulong checksum,
        Deadline deadline, CancellationToken cancel)
    {
        if (await SumsOfAsync(reservation, deadline, cancel) is not { } sums)
        {
            holder.Store.Abort(reservation);
            return new MeshError(MeshErrorCode.Device, "seal", "the bytes that arrived cannot be read from the device");
        }

        ulong sum = sums.Checksum;
        if (sum != checksum)
        {
            holder.Store.Abort(reservation);
            return new MeshError(MeshErrorCode.InvalidArgument, "seal",
                $"the bytes that arrived have checksum {sum:x16}, the sender's is {checksum:x16}");
        }

        var held = holder.Store.Seal(reservation, checksum);
        return await holder.Publish.RunAsync(held, head, deadline, cancel);
    }

    private async Task<MirrorOutcome> MirrorAsync(MeshKey key, ObjectRecord tombstone, ViewId view, Deadline deadline,
        CancellationToken cancel)
    {
        // Perhaps expelled since it was decided; the owners that follow must hear of it all the same.
        return (context.View.Find(context.NodeId) ?? context.Views.Previous.Find(context.NodeId)) is { } self
            ? await _mirror.RunAsync(new KeyedRecord(key, tombstone), self, view, deadline, cancel)
            : default;
    }

    private Deadline DeadlineOf(int milliseconds)
    {
        var limit = TimeSpan.FromMilliseconds(Math.Max(1, milliseconds));
        return new Deadline(context.Runtime.Time, limit < LongestPut ? limit : LongestPut);
    }
}
