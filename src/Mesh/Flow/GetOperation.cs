// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>Where a get puts the bytes; asked once the size is known, and again when the object has changed.</summary>
internal interface IGetTarget
{
    /// <summary>Memory for <paramref name="size"/> bytes, or why there is none; nothing is written then.</summary>
    MeshResult<NativeRange> Prepare(long size);

    /// <summary>The memory, which says so where it is a device's; memory of ours never is.</summary>
    NativeRange Find(CallerMemory memory, NativeRange prepared, DeviceOrder order) => prepared;
}

/// <summary>
/// A get, at the caller: locate -> nearest replica -> transfer -> verify after the last byte (rule A1). A mismatch
/// drops the bytes and locates again, at most twice; then it is a miss.
/// </summary>
internal sealed class GetOperation(FlowContext context, TransferPlan plan)
{
    /// <summary>
    /// Values up to so many bytes come with the answer of an owner that holds them: one trip, not two.
    /// </summary>
    public const int MaxInlineGet = 16 * 1024;

    /// <summary>What a get asks an owner.</summary>
    public static readonly LocateWants Wants = new(Mark: true, Inline: MaxInlineGet);

    private long _stale;
    private long _corrupt;

    /// <summary>Reads that found their extent given to another object.</summary>
    public long StaleReads => Volatile.Read(ref _stale);

    /// <summary>Reads whose checksum was wrong while the generation was right.</summary>
    public long CorruptReads => Volatile.Read(ref _corrupt);

    /// <summary>Gets one object; its size.</summary>
    public async Task<MeshResult<long>> RunAsync(MeshKey key, IGetTarget target, GetOptions options,
        CancellationToken cancel)
    {
        if (key.Validate() is { } invalid)
            return invalid;
        var deadline = new Deadline(context.Runtime.Time, options.Deadline ?? TransferPlan.DefaultLimit(0));
        return await RunAsync(key, null, default, target, options, deadline, cancel);
    }

    /// <summary>Gets one object, of which a fresh record, and perhaps the value itself, may be known.</summary>
    public async Task<MeshResult<long>> RunAsync(MeshKey key, ObjectRecord? known, ReadOnlyMemory<byte> value,
        IGetTarget target, GetOptions options, Deadline deadline, CancellationToken cancel)
    {
        // Once the size is known the rest has a time of its own, one for all tries, unless the caller has set one.
        Deadline? reading = options.Deadline is null ? null : deadline;
        StaleRecords? stale = null;
        for (int relocations = 0; ; relocations++)
        {
            if (cancel.IsCancellationRequested)
                return new MeshError(MeshErrorCode.Cancelled, "get", "the caller cancelled");
            var record = known;
            known = null;
            if (record is null)
            {
                var located = await LocateOperation.RunAsync(context, [key], Wants, reading ?? deadline, cancel,
                    stale);
                if (located.ErrorOf(0) is { } error)
                    return error;
                if (!located.IsPresent(0))
                    return Miss("no object has this key");
                if (relocations > StaleRecords.MostRelocations)
                    return StaleRecords.Replaced("get");
                record = located.RecordOf(0)!;
                value = located.ValueOf(0);
            }

            var range = target.Prepare(record.Size);
            if (!range.Succeeded)
                return range.Error!;
            if (context.CallerMemory.HasDevices)
                range = target.Find(context.CallerMemory, range.Value, options.Order);
            var limit = reading ??= new Deadline(context.Runtime.Time, TransferPlan.DefaultLimit(record.Size));
            if (IsWhole(value, record))
            {
                if (await CopyOutAsync(value, range.Value, limit, cancel) is { } kept)
                    return kept;
                context.Seen.Note(key.Hash, record.Version);
                return record.Size;
            }

            var (outcome, silent) = await ReadAsync(record, range.Value, options.Verify, limit, cancel);
            if (outcome == TransferOutcome.Done)
            {
                context.Seen.Note(key.Hash, record.Version);
                return record.Size;
            }

            if (ErrorOf(outcome, range.Value, record, limit, cancel) is { } failed)
                return failed;
            if (outcome == TransferOutcome.Stale)
                Interlocked.Increment(ref _stale);
            if (outcome == TransferOutcome.Unreachable || silent is not null)
            {
                var error = await UnreachableAsync(context, plan, silent ?? [], record.Size, limit, cancel);
                if (EndsWith(error, outcome, relocations))
                    return error;
                // A holder that no longer has it says nothing of one that was not reached.
                if (error.Code != MeshErrorCode.NotFound)
                    continue;
            }

            (stale ??= new StaleRecords()).Add(record);
        }
    }

    /// <summary>
    /// Whether the bytes that came with the record are the object: the holder read them under a pin, the checksum says
    /// that they arrived.
    /// </summary>
    private static bool IsWhole(ReadOnlyMemory<byte> value, ObjectRecord record) =>
        !value.IsEmpty && value.Length == record.Size && SumOf(value.Span) == record.Checksum;

    private static unsafe ulong SumOf(ReadOnlySpan<byte> value)
    {
        fixed (byte* bytes = value)
            return ObjectSum.Of(bytes, value.Length);
    }

    /// <summary>Hands out a value that came with its record; null, or why that failed.</summary>
    private async ValueTask<MeshError?> CopyOutAsync(ReadOnlyMemory<byte> value, NativeRange range, Deadline limit,
        CancellationToken cancel)
    {
        if (range.Device is not { } device)
        {
            CopyOut(value.Span, range);
            return null;
        }

        using var pinned = new PinnedMemory(value);
        var outcome = await context.Devices!.RunAsync(new DeviceMove(pinned.Range, range.Part(0, value.Length), null),
            limit.AtMost(limit.Left), cancel);
        return outcome switch
        {
            TransferOutcome.Done => null,
            TransferOutcome.Late when cancel.IsCancellationRequested =>
                new MeshError(MeshErrorCode.Cancelled, "get", "the caller cancelled"),
            TransferOutcome.Late => limit.Error("get:transfer"),
            _ => FailedDevice(range, null),
        };
    }

    private static unsafe void CopyOut(ReadOnlySpan<byte> value, NativeRange range) =>
        value.CopyTo(new Span<byte>((void*)range.Address, value.Length));

    /// <summary>What ends a read for good: time, caller or a device; null: it is worth another look.</summary>
    public static MeshError? ErrorOf(TransferOutcome outcome, NativeRange destination, ObjectRecord record,
        Deadline limit, CancellationToken cancel) => outcome switch
        {
            TransferOutcome.Late when cancel.IsCancellationRequested =>
                new MeshError(MeshErrorCode.Cancelled, "get", "the caller cancelled"),
            TransferOutcome.Late => limit.Error("get:transfer"),
            TransferOutcome.DeviceFailed => FailedDevice(destination, record),
            _ => null,
        };

    /// <summary>What a device, here or at the holder, had to say.</summary>
    public static MeshError FailedDevice(NativeRange range, ObjectRecord? record) =>
        range.Device?.Failure is { } failure
            ? failure with { Stage = "get" }
            : new MeshError(MeshErrorCode.Device, "get", record is { Replicas.Length: > 1 }
                ? "the devices that have this object refused, failed or stalled"
                : "the device that has this object, or is to get it, refused, failed or stalled");

    private static MeshError Miss(string why) => new(MeshErrorCode.NotFound, "get", why);

    /// <summary>
    /// Whether to look at the owners again is of no use: a holder that was not reached may have the object. Where all
    /// of them are gone, another owner may know of a later object than the one who told us of this.
    /// </summary>
    public static bool EndsWith(MeshError error, TransferOutcome outcome, int relocations) =>
        error.Code != MeshErrorCode.NotFound
        && (outcome == TransferOutcome.Unreachable || relocations == StaleRecords.MostRelocations);

    /// <summary>
    /// A miss when the process of every holder is gone; where one may live, and only does not answer us, it is not
    /// known that the object is gone.
    /// </summary>
    /// <param name="context">Who reads.</param>
    /// <param name="plan">By what.</param>
    /// <param name="silent">The holders that were not reached.</param>
    /// <param name="size">Bytes of the object.</param>
    /// <param name="deadline">Until when.</param>
    /// <param name="cancel">Ends the wait.</param>
    public static async Task<MeshError> UnreachableAsync(FlowContext context, TransferPlan plan,
        IReadOnlyList<NodeRecord> silent, long size, Deadline deadline, CancellationToken cancel)
    {
        foreach (var node in silent)
        {
            if (!await context.IsGoneAsync(node, deadline, cancel))
            {
                return plan.WhyNot(node, size) ?? new MeshError(MeshErrorCode.Unavailable, "get",
                    $"{node.NodeId}, which holds this object, does not answer");
            }
        }

        return Miss("no holder of this object is left");
    }

    /// <summary>Reads from one holder or the next; how it ended, and who of them was not reached, if any.</summary>
    private async Task<(TransferOutcome Outcome, List<NodeRecord>? Silent)> ReadAsync(ObjectRecord record,
        NativeRange range, bool verify, Deadline deadline, CancellationToken cancel)
    {
        var near = plan.Nearest(record.Replicas, context);
        if (near.Count > 1)
        {
            var tried = await ReadAsync(record, near, Nearness.Patience, range, verify, deadline, cancel);
            if (tried.Outcome != TransferOutcome.Unreachable)
                return tried;
        }

        // One that kept silent may live, and be the only one that does: then it is waited for.
        return await ReadAsync(record, near, null, range, verify, deadline, cancel);
    }

    private async Task<(TransferOutcome Outcome, List<NodeRecord>? Silent)> ReadAsync(ObjectRecord record,
        List<(NodeRecord Node, Replica Replica)> near, TimeSpan? patience, NativeRange range, bool verify,
        Deadline deadline, CancellationToken cancel)
    {
        var outcome = TransferOutcome.Unreachable;
        List<NodeRecord>? silent = null;
        var sums = verify ? new SliceSums(record.Size) : null;
        foreach (var (node, replica) in near)
        {
            sums?.AreMissing = false;
            var read = new ExtentRead(node, replica.SegmentId, replica.Offset, replica.Generation, record.Size, 0,
                sums) { Patience = patience };
            var result = await plan.ReadAsync(read, range, deadline.AtMost(deadline.Left), cancel);
            if (result == TransferOutcome.Done)
            {
                if (sums is null || sums.AreMissing || sums.Checksum == record.Checksum)
                    return (TransferOutcome.Done, null);
                Interlocked.Increment(ref _corrupt);
                result = TransferOutcome.Stale;
            }

            if (result == TransferOutcome.Late)
                return (result, null);
            if (result == TransferOutcome.Unreachable)
            {
                (silent ??= []).Add(node);
                if (patience is not null)
                    context.Probe(node);
            }

            // One stale replica may be the sign of a newer version: worth another look at the owner.
            if (result == TransferOutcome.Stale || outcome != TransferOutcome.Stale)
                outcome = result;
        }

        return (outcome, silent);
    }
}
