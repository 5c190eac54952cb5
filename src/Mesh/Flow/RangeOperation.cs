// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// A get of a part of an object, at the caller. Whole slices go straight to where they are wanted; those at the edges
/// are read whole into memory of our own, so that every byte handed out is under a sum, and the sums together are under
/// the checksum of the record.
/// </summary>
internal sealed class RangeOperation(FlowContext context, TransferPlan plan)
{
    private readonly SumsCache _cache = new();
    private long _stale;
    private long _corrupt;

    /// <summary>Reads that found their extent given to another object.</summary>
    public long StaleReads => Volatile.Read(ref _stale);

    /// <summary>Reads whose sums were wrong while the generation was right.</summary>
    public long CorruptReads => Volatile.Read(ref _corrupt);

    /// <summary>Reads one range, of an object of which a fresh record may be known; its length.</summary>
    public Task<MeshResult<long>> RunAsync(ObjectRange range, ObjectRecord? known, NativeRange destination,
        GetOptions options, Deadline deadline, CancellationToken cancel)
    {
        if (!context.CallerMemory.HasDevices)
            return RunHostAsync(range, known, destination, options, deadline, cancel);
        destination = context.CallerMemory.Find(destination, options.Order);
        return destination.Device is null
            ? RunHostAsync(range, known, destination, options, deadline, cancel)
            : RunDeviceAsync(range, known, destination, options, deadline, cancel);
    }

    /// <summary>Reads into host memory, and moves what was verified to the device.</summary>
    private async Task<MeshResult<long>> RunDeviceAsync(ObjectRange range, ObjectRecord? known,
        NativeRange destination, GetOptions options, Deadline deadline, CancellationToken cancel)
    {
        using var scratch = new ScratchMemory();
        var host = scratch.Size(destination.Length);
        if (!host.Succeeded)
            return host.Error!;
        var read = await RunHostAsync(range, known, host.Value, options, deadline, cancel);
        if (!read.Succeeded || read.Value == 0)
            return read;
        var limit = options.Deadline is null ? TransferPlan.DefaultLimit(read.Value) : deadline.AtMost(deadline.Left);
        return await context.Devices!.RunAsync(new DeviceMove(host.Value, destination, null), limit, cancel) switch
        {
            TransferOutcome.Done => read,
            TransferOutcome.Late when cancel.IsCancellationRequested =>
                new MeshError(MeshErrorCode.Cancelled, "get", "the caller cancelled"),
            TransferOutcome.Late => deadline.Error("get:transfer"),
            _ => GetOperation.FailedDevice(destination, null),
        };
    }

    private async Task<MeshResult<long>> RunHostAsync(ObjectRange range, ObjectRecord? known, NativeRange destination,
        GetOptions options, Deadline deadline, CancellationToken cancel)
    {
        if (range.Key.Validate() is { } invalid)
            return invalid;
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
                var located = await LocateOperation.RunAsync(context, [range.Key], new LocateWants(Mark: true),
                    reading ?? deadline, cancel, stale);
                if (located.ErrorOf(0) is { } error)
                    return error;
                if (!located.IsPresent(0))
                    return new MeshError(MeshErrorCode.NotFound, "get", "no object has this key");
                if (relocations > StaleRecords.MostRelocations)
                    return StaleRecords.Replaced("get");
                record = located.RecordOf(0)!;
            }

            if (range.Offset < 0 || range.Offset > record.Size - destination.Length)
            {
                return new MeshError(MeshErrorCode.InvalidArgument, "get",
                    $"{destination.Length} bytes from offset {range.Offset} were asked for; the object has "
                    + $"{record.Size} bytes");
            }

            if (destination.Length == 0)
                return 0;
            var limit = reading ??= new Deadline(context.Runtime.Time, TransferPlan.DefaultLimit(destination.Length));
            var (outcome, silent) = await ReadAsync(record, range.Offset, destination, options.Verify, limit, cancel);
            if (outcome == TransferOutcome.Done)
            {
                context.Seen.Note(range.Key.Hash, record.Version);
                return destination.Length;
            }

            if (GetOperation.ErrorOf(outcome, destination, record, limit, cancel) is { } failed)
                return failed;
            if (outcome == TransferOutcome.Stale)
                Interlocked.Increment(ref _stale);
            if (outcome == TransferOutcome.Unreachable || silent is not null)
            {
                var why = await GetOperation.UnreachableAsync(context, plan, silent ?? [], record.Size, limit, cancel);
                if (GetOperation.EndsWith(why, outcome, relocations))
                    return why;
                if (why.Code != MeshErrorCode.NotFound)
                    continue;
            }

            (stale ??= new StaleRecords()).Add(record);
        }
    }

    /// <summary>Reads from one holder or the next; how it ended, and who of them was not reached, if any.</summary>
    private async Task<(TransferOutcome Outcome, List<NodeRecord>? Silent)> ReadAsync(ObjectRecord record, long offset,
        NativeRange destination, bool verify, Deadline deadline, CancellationToken cancel)
    {
        var near = plan.Nearest(record.Replicas, context);
        if (near.Count > 1)
        {
            var tried = await ReadAsync(record, near, Nearness.Patience, offset, destination, verify, deadline,
                cancel);
            if (tried.Outcome != TransferOutcome.Unreachable)
                return tried;
        }

        return await ReadAsync(record, near, null, offset, destination, verify, deadline, cancel);
    }

    private async Task<(TransferOutcome Outcome, List<NodeRecord>? Silent)> ReadAsync(ObjectRecord record,
        List<(NodeRecord Node, Replica Replica)> near, TimeSpan? patience, long offset, NativeRange destination,
        bool verify, Deadline deadline, CancellationToken cancel)
    {
        var outcome = TransferOutcome.Unreachable;
        List<NodeRecord>? silent = null;
        foreach (var (node, replica) in near)
        {
            var read = new ExtentRead(node, replica.SegmentId, replica.Offset, replica.Generation, destination.Length,
                offset) { Patience = patience };
            var result = verify
                ? await ReadVerifiedAsync(record, replica, read, destination, deadline, cancel)
                : await plan.ReadAsync(read, destination, deadline.AtMost(deadline.Left), cancel);
            if (result is TransferOutcome.Done or TransferOutcome.Late)
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

    private async Task<TransferOutcome> ReadVerifiedAsync(ObjectRecord record, Replica replica, ExtentRead read,
        NativeRange destination, Deadline deadline, CancellationToken cancel)
    {
        ulong[]? sums;
        if (ObjectSum.SliceCount(record.Size) == 1)
        {
            sums = [record.Checksum];
        }
        else if ((sums = _cache.Find(replica)) is null)
        {
            var answer = await context.Calls.SumsAsync(read.Node,
                new SumsRequest(replica.SegmentId & ~Replica.Scattered, replica.Offset, replica.Generation),
                deadline.AtMost(read.Patience ?? deadline.Left), cancel);
            if (!answer.Succeeded)
                return deadline.Passed || cancel.IsCancellationRequested 
                    ? TransferOutcome.Late
                    : TransferOutcome.Unreachable;
            if (!answer.Value.Current)
                return TransferOutcome.Stale;
            if (SliceSums.From(record.Size, answer.Value.Sums, record.Checksum) is not { } known)
                return Corrupt();
            sums = known.Values;
            _cache.Add(replica, sums);
        }

        using var parts = new RangeParts(record.Size, read, destination);
        var reads = new Task<TransferOutcome>[parts.Count];
        for (int i = 0; i < reads.Length; i++)
            reads[i] = plan.ReadAsync(parts.Read(i), parts.Target(i), deadline.AtMost(deadline.Left), cancel);
        var result = TransferOutcome.Done;
        foreach (var ended in reads)
        {
            var outcome = await ended;
            if (outcome != TransferOutcome.Done && result == TransferOutcome.Done)
                result = outcome;
        }

        if (result != TransferOutcome.Done)
            return result;
        return parts.TryFinish(sums) ? TransferOutcome.Done : Corrupt();
    }

    private TransferOutcome Corrupt()
    {
        Interlocked.Increment(ref _corrupt);
        return TransferOutcome.Stale;
    }
}

/// <summary>
/// A range cut at its slices: up to three reads, of which the middle one goes straight to the destination. Holds memory
/// for the edges until disposed; nothing may read into it any more then.
/// </summary>
internal sealed unsafe class RangeParts : IDisposable
{
    private readonly NativeRange _destination;
    private readonly long _offset;
    private readonly Part[] _parts;
    private readonly int _count;

    public RangeParts(long size, ExtentRead read, NativeRange destination)
    {
        _destination = destination;
        _offset = read.Skip;
        _parts = new Part[3];
        long slice = ObjectSum.SliceBytes(size);
        long end = read.Skip + read.Length;
        for (long at = read.Skip; at < end || _count == 0;)
        {
            // Whole slices in one part; one at an edge, of which not all is wanted, by itself.
            long first = at / slice * slice;
            long next = Math.Min(first + slice, size);
            bool whole = at == first && end >= next;
            if (whole)
                next = end == size ? end : Math.Max(next, end / slice * slice);
            var sums = new SliceSums(size, first, next - first);
            _parts[_count++] = new Part(read with { Skip = first, Length = next - first, Sums = sums },
                whole ? new NativeRange(destination.Address + (nint)(first - read.Skip), next - first)
                    : new NativeRange((nint)NativeMemory.AlignedAlloc((nuint)(next - first), 64), next - first),
                whole);
            at = next;
        }
    }

    /// <summary>Reads to be done.</summary>
    public int Count => _count;

    public ExtentRead Read(int part) => _parts[part].Read;

    public NativeRange Target(int part) => _parts[part].Target;

    /// <summary>Compares the sums of what has arrived, then hands out the edges.</summary>
    public bool TryFinish(ulong[] sums)
    {
        for (int i = 0; i < _count; i++)
        {
            var read = _parts[i].Read.Sums!;
            if (!read.Values.AsSpan().SequenceEqual(sums.AsSpan(read.First, read.Values.Length)))
                return false;
        }

        for (int i = 0; i < _count; i++)
        {
            if (_parts[i].Whole)
                continue;
            long from = Math.Max(_offset, _parts[i].Read.Skip);
            long to = Math.Min(_offset + _destination.Length, _parts[i].Read.Skip + _parts[i].Read.Length);
            Buffer.MemoryCopy((byte*)_parts[i].Target.Address + (from - _parts[i].Read.Skip),
                (byte*)_destination.Address + (from - _offset), to - from, to - from);
        }

        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        for (int i = 0; i < _count; i++)
        {
            if (!_parts[i].Whole)
                NativeMemory.AlignedFree((void*)_parts[i].Target.Address);
        }
    }

    private readonly record struct Part(ExtentRead Read, NativeRange Target, bool Whole);
}
