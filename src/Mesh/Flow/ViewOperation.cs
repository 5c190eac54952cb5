// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Opens views, at the caller: locate and pin in one call where the key's owner is on this host and has the object,
/// else locate, then pin at the replica's holder on this host. Bytes do not move.
/// </summary>
/// <param name="context">View, calls, clock.</param>
/// <param name="plan">Where shared memory is found.</param>
/// <param name="own">Memory of the node in this process; null in a client.</param>
internal sealed class ViewOperation(FlowContext context, TransferPlan plan, ObjectStore? own)
{
    private readonly OpenViews _views = new(context);
    private long _corrupt;

    /// <summary>Views whose bytes did not have their checksum.</summary>
    public long Corrupt => Volatile.Read(ref _corrupt);

    /// <summary>Opens a view of one object.</summary>
    public async Task<MeshResult<MappedView>> RunAsync(MeshKey key, ViewOptions options, CancellationToken cancel)
    {
        if (key.Validate() is { } invalid)
            return invalid;
        var deadline = new Deadline(context.Runtime.Time, options.Deadline ?? TransferPlan.DefaultLimit(0));
        var stale = new StaleRecords();
        for (int relocations = 0; ; relocations++)
        {
            if (cancel.IsCancellationRequested)
                return new MeshError(MeshErrorCode.Cancelled, "view", "the caller cancelled");
            var opened = await OpenAsync(key, stale, relocations, deadline, cancel);
            if (!opened.Succeeded)
                return opened.Error!;
            if (opened.Value is not { } found)
                continue;
            if (!context.Seen.IsBehind(key.Hash, found.Record.Version, found.Record.ObjectId))
            {
                if (!options.Verify || SumOf(found.View) == found.Record.Checksum)
                {
                    context.Seen.Note(key.Hash, found.Record.Version);
                    return found.View;
                }

                Interlocked.Increment(ref _corrupt);
            }

            found.View.Dispose();
            stale.Add(found.Record);
        }
    }

    private static unsafe ulong SumOf(MappedView view) => ObjectSum.Of((byte*)view.Range.Address, view.Size);

    private static MeshError Miss() => new(MeshErrorCode.NotFound, "view", "no object has this key");

    /// <summary>
    /// One attempt: the view; null when the object is not where its record says, which is noted as stale.
    /// </summary>
    private async Task<MeshResult<Opened?>> OpenAsync(MeshKey key, StaleRecords stale, int relocations,
        Deadline deadline, CancellationToken cancel)
    {
        ObjectRecord? record = null;
        if (stale.IsEmpty && OwnerHere(key) is { } owner
            && await HoldAsync(owner, deadline, cancel) is { } mapping)
        {
            var atOwner = await OpenAtOwnerAsync(key, owner, mapping, deadline, cancel);
            if (!atOwner.Succeeded)
                return atOwner.Error!;
            if (atOwner.Value.View is { } view)
                return new Opened(view, atOwner.Value.Record!);
            record = atOwner.Value.Record;
        }

        if (record is null)
        {
            var located = await LocateOperation.RunAsync(context, [key], new LocateWants(Mark: true), deadline, cancel,
                stale.IsEmpty ? null : stale);
            if (located.ErrorOf(0) is { } error)
                return error;
            if (!located.IsPresent(0))
            {
                return stale.HadCopies
                    ? new MeshError(MeshErrorCode.Unavailable, "view",
                        "the copy on this host is gone or damaged; there may be others: get it instead")
                    : Miss();
            }

            if (relocations > StaleRecords.MostRelocations)
                return StaleRecords.Replaced("view");
            record = located.RecordOf(0)!;
        }

        var opened = await OpenAtHolderAsync(record, deadline, cancel);
        if (opened is { Succeeded: true, Value: null })
            stale.Add(record);
        return opened;
    }

    /// <summary>The acting primary of a key, if it is another process of this host.</summary>
    private NodeRecord? OwnerHere(in MeshKey key)
    {
        var view = context.View;
        int slot = view.SlotOf(key.Hash);
        for (int place = 0; place < SlotTable.Places; place++)
        {
            if (view.Owner(slot, place) is { } node && !context.IsDown(node))
                return plan.Shared is { } shared && !context.Calls.IsSelf(node) && shared.CanRead(node) ? node : null;
        }

        return null;
    }

    /// <summary>
    /// The memory of a node of this host that keeps objects in place for this process; null: there is none.
    /// </summary>
    private async ValueTask<ShmMapping?> HoldAsync(NodeRecord node, Deadline deadline, CancellationToken cancel)
    {
        if (plan.Shared is not { } shared
            || await shared.HoldAsync(node, deadline.AtMost(deadline.Left), cancel) is not { } mapping)
            return null;
        if (mapping.Client != 0)
            return mapping;
        mapping.Release();
        return null;
    }

    private async Task<MeshResult<(MappedView? View, ObjectRecord? Record)>> OpenAtOwnerAsync(MeshKey key,
        NodeRecord owner, ShmMapping mapping, Deadline deadline, CancellationToken cancel)
    {
        ulong id = mapping.NextView();
        var closed = _views.TakeClosed(mapping);
        var answer = await context.Calls.ViewAsync(owner, new ViewKeyRequest(mapping.Client, id, key, closed),
            deadline.AtMost(deadline.Left), cancel);
        if (!answer.Succeeded)
        {
            // It may be open, with an answer that did not arrive.
            _views.Return(owner, mapping, [.. closed, id]);
            mapping.Release();
            return answer.Error!.Code == MeshErrorCode.ClientLimit ? answer.Error : (null, null);
        }

        var located = answer.Value.Located;
        if (located.Count == 1 && located.RecordOf(0) is { } record)
        {
            if (answer.Value.Replica >= 0 && answer.Value.Replica < record.Replicas.Length
                && MakeView(owner, mapping, id, record, record.Replicas[answer.Value.Replica]) is { } view)
                return (view, record);
            mapping.Release();
            return (null, record);
        }

        mapping.Release();
        return located.Count == 1 && located.CodeOf(0) == OwnerCode.Absent ? Miss() : (null, null);
    }

    private async Task<MeshResult<Opened?>> OpenAtHolderAsync(ObjectRecord record, Deadline deadline,
        CancellationToken cancel)
    {
        bool here = false;
        bool scattered = false;
        bool onDevice = false;
        foreach (var (node, replica) in plan.Nearest(record.Replicas, context))
        {
            scattered |= replica.IsScattered;
            onDevice |= node.DeviceOf(replica.SegmentId) is not null;
            if (replica.IsScattered || node.DeviceOf(replica.SegmentId) is not null)
                continue;
            if (own is not null && context.Calls.IsSelf(node))
            {
                here = true;
                if (own.TryPin(replica.SegmentId, replica.Offset, replica.Generation, out var pin))
                    return new Opened(ViewOf(context.Runtime.Policies.Pin.Hold(pin)), record);
                continue;
            }

            if (await HoldAsync(node, deadline, cancel) is not { } mapping)
                continue;
            here = true;
            ulong id = mapping.NextView();
            var closed = _views.TakeClosed(mapping);
            var answer = await context.Calls.ViewAsync(node, new ViewExtentRequest(mapping.Client, id,
                replica.SegmentId, replica.Offset, replica.Generation, closed), deadline.AtMost(deadline.Left), cancel);
            if (answer is { Succeeded: true, Value.Open: true }
                && MakeView(node, mapping, id, record, replica) is { } view)
                return new Opened(view, record);
            if (!answer.Succeeded)
                _views.Return(node, mapping, [.. closed, id]);
            mapping.Release();
            if (answer.Error is { Code: MeshErrorCode.ClientLimit or MeshErrorCode.Cancelled })
                return answer.Error;
        }

        if (here)
            return (Opened?)null;
        return new MeshError(MeshErrorCode.Unavailable, "view", onDevice
            ? "this object is in memory of a device, which no process can look at; get it instead"
            : scattered
            ? "this object is in several extents, which no view can show as one; get it instead"
            : "no copy of this object is in memory that this process can map: views need a node of the same host");
    }

    /// <summary>
    /// The view, which takes the caller's hold of the mapping over; null when the holder spoke nonsense.
    /// </summary>
    private unsafe MappedView? MakeView(NodeRecord node, ShmMapping mapping, ulong id, ObjectRecord record,
        in Replica replica)
    {
        if (!mapping.TryFindView(replica.SegmentId, replica.Offset, record.Size, out byte* bytes))
        {
            _views.Return(node, mapping, [id]);
            return null;
        }

        return new MappedView((nint)bytes, record.Size, () => _views.Close(node, mapping, id));
    }

    private static unsafe MappedView ViewOf(ExtentPin pin) => pin.Bytes.TryHost(out byte* bytes)
        ? new MappedView((nint)bytes, pin.Length, pin.Dispose)
        : throw new InvalidOperationException("no view shows what a device has");

    private sealed record Opened(MappedView View, ObjectRecord Record);
}
