// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// The second half of a put, at the holder: ask the acting primary to decide and number, mirror the numbered record to
/// the next owner, commit. The one loop is: NotOwner or Unsure -> next owner or fresh view -> again, until the
/// deadline.
/// </summary>
internal sealed class PublishFlow(FlowContext context, ObjectStore store, DroppedQueue dropped, ulong incarnation)
{
    private static readonly TimeSpan OwnerTimeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ProbeTimeout = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan MirrorTimeout = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// After this long, or a third of its time, a put insists: an acting owner that is not complete may then accept a
    /// key it does not know. What is left must suffice for the decision and the mirror.
    /// </summary>
    private static readonly TimeSpan InsistAfter = TimeSpan.FromMilliseconds(400);

    private readonly Dictionary<ulong, Publishing> _publishing = [];

    /// <summary>Puts acknowledged by the primary alone.</summary>
    public long Unmirrored => Volatile.Read(ref _unmirrored);

    private long _unmirrored;

    /// <summary>Marks an object that is being published as dropped; false when none is.</summary>
    public bool DropWhilePublishing(ulong objectId)
    {
        lock (_publishing)
        {
            if (!_publishing.TryGetValue(objectId, out var publishing))
                return false;
            publishing.Dropped = true;
            return true;
        }
    }

    /// <summary>Publishes a sealed object; on any failure its extent is free again.</summary>
    public async Task<MeshResult<PutAnswer>> RunAsync(HeldObject held, int wanted, Deadline deadline,
        CancellationToken cancel)
    {
        var publishing = new Publishing();
        lock (_publishing)
        {
            if (!_publishing.TryAdd(held.ObjectId, publishing))
            {
                store.Discard(held);
                return new MeshError(MeshErrorCode.InvalidArgument, "publish", "this put attempt is published already");
            }
        }

        bool kept = false;
        try
        {
            var answer = await DecideAsync(held, publishing, wanted, deadline, cancel);
            kept = answer.Succeeded && !answer.Value.Existed;
            return answer;
        }
        finally
        {
            lock (_publishing)
                _publishing.Remove(held.ObjectId);
            if (!kept)
                store.Discard(held);
            else if (publishing.Dropped)
                store.Drop(held.Key, held.ObjectId);
            // An owner may have it on record although its answer never came: a key that points to freed memory would
            // refuse every later put and fail every get.
            if (!kept && publishing.MayBeOnRecord)
                dropped.Add(held.Key, held.ObjectId, "");
        }
    }

    private async Task<MeshResult<PutAnswer>> DecideAsync(HeldObject held, Publishing publishing, int wanted,
        Deadline deadline, CancellationToken cancel)
    {
        int slot = context.SlotOf(held.Key);
        var backoff = default(Backoff);
        var insistAfter = deadline.Limit / 3 < InsistAfter ? deadline.Limit / 3 : InsistAfter;
        bool insist = false;
        while (!deadline.Passed && !cancel.IsCancellationRequested)
        {
            foreach (var owner in Owners(slot))
            {
                var request = new PublishRequest(held.Key, OfferOf(held), wanted,
                    insist || deadline.Elapsed > insistAfter);
                var answer = await context.Calls.PublishAsync(owner, request, deadline.AtMost(OwnerTimeout), cancel);
                if (!answer.Succeeded || answer.Value.Items.Length != 1)
                {
                    publishing.MayBeOnRecord = true;
                    continue;
                }

                var decided = answer.Value.Items[0];
                publishing.MayBeOnRecord |= decided.Code == OwnerCode.Yes;
                if (decided.Code == OwnerCode.Kept)
                    return new PutAnswer(true, true, decided.Record?.Version ?? default);
                if (decided.Code == OwnerCode.Yes && decided.Record is { } record)
                {
                    if (await AcceptedAsync(held, record, owner, answer.Value.View, deadline, cancel) is { } done)
                        return done;
                    break;
                }

                context.Views.Suggest(answer.Value.View, owner);
                if (decided.Code != OwnerCode.Unsure)
                    continue;
                // Unsure is said by the one that decides but has not heard of the key; another may have.
                if (await ElsewhereAsync(held.Key, owner, deadline, cancel) is { } known)
                    return new PutAnswer(true, true, known.Version);
                insist = true;
                break;
            }

            await backoff.PauseAsync(context, deadline, cancel);
        }

        return deadline.Error("publish");
    }

    /// <summary>What other owners, of this view or the last, have of a key; null when none of them has it.</summary>
    private async Task<ObjectRecord?> ElsewhereAsync(MeshKey key, NodeRecord asked, Deadline deadline,
        CancellationToken cancel)
    {
        var request = new LocateRequest([key], false);
        var calls = new List<Task<MeshResult<LocateAnswer>>>();
        foreach (var node in context.CandidatesOf(context.SlotOf(key)))
        {
            if (node.NodeId != asked.NodeId && !context.IsDown(node))
                calls.Add(context.Calls.LocateAsync(node, request, deadline.AtMost(ProbeTimeout), cancel));
        }

        foreach (var call in calls)
        {
            var answer = await call;
            if (answer is { Succeeded: true, Value.Count: 1 } && answer.Value.RecordOf(0) is { } record)
                return record;
        }

        return null;
    }

    /// <summary>Mirrors and commits; null when a newer record won in the meantime and the put starts over.</summary>
    private async Task<MeshResult<PutAnswer>?> AcceptedAsync(HeldObject held, ObjectRecord record, NodeRecord acceptor,
        ViewId view, Deadline deadline, CancellationToken cancel)
    {
        // The backup is that of the view the primary decided in: an older view of ours may name one that no longer is.
        await context.Views.CatchUpAsync(view, acceptor);
        bool mirrored = false;
        int slot = context.SlotOf(held.Key);
        foreach (var owner in Owners(slot))
        {
            if (owner.NodeId == acceptor.NodeId)
                continue;
            var request = new MirrorRequest([new KeyedRecord(held.Key, record)]);
            var answer = await context.Calls.MirrorAsync(owner, request, deadline.AtMost(MirrorTimeout), cancel);
            if (answer.Succeeded && answer.Value.Items.Length == 1)
            {
                var item = answer.Value.Items[0];
                if (item.Code == OwnerCode.Kept && item.Record is { } newer && newer.ObjectId != held.ObjectId)
                    return null;
                mirrored = true;
                break;
            }

            await context.Calls.OweAsync(acceptor, new OweRequest(owner.NodeId, slot), deadline.AtMost(MirrorTimeout),
                cancel);
        }

        if (!mirrored)
            Interlocked.Increment(ref _unmirrored);
        if (!store.Commit(held, record.Version))
            return new PutAnswer(true, mirrored, record.Version);
        return new PutAnswer(false, mirrored, record.Version);
    }

    /// <summary>The preference list, those that cannot be reached last.</summary>
    private List<NodeRecord> Owners(int slot)
    {
        var view = context.View;
        var owners = new List<NodeRecord>(SlotTable.Places);
        var down = new List<NodeRecord>(SlotTable.Places);
        for (int place = 0; place < SlotTable.Places; place++)
        {
            if (view.Owner(slot, place) is { } node)
                (context.IsDown(node) ? down : owners).Add(node);
        }

        owners.AddRange(down);
        return owners;
    }

    private ObjectRecord OfferOf(HeldObject held) => new()
    {
        ObjectId = held.ObjectId,
        Size = held.Size,
        Checksum = held.Checksum,
        Replicas = [new Replica(incarnation, held.Extent.SegmentId, held.Extent.Offset, held.Extent.Generation)],
    };

    private sealed class Publishing
    {
        public bool Dropped { get; set; }

        public bool MayBeOnRecord { get; set; }
    }
}
