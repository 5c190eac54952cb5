// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// The second half of a put, at the holder: ask the acting primary to decide and number, mirror the numbered record to
/// the next owner, commit, have the holders of a replaced object drop it. The one loop is: NotOwner or Unsure -> next
/// owner or fresh view -> again, until the deadline.
/// </summary>
internal sealed class PublishFlow(FlowContext context, ObjectStore store, DroppedQueue dropped, DropCalls drops,
    ClearFlow clear, OwnIncarnation incarnation)
{
    private static readonly TimeSpan OwnerTimeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ProbeTimeout = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// After so long, or a third of its time, an incomplete acting owner may accept a key that is new to it.
    /// </summary>
    private static readonly TimeSpan InsistAfter = TimeSpan.FromMilliseconds(400);

    /// <summary>
    /// And not in the last quarter of its time: its caller counts from the request's start, and whoever has given us
    /// up may have put the value elsewhere, and another client removed it, all out of an incomplete owner's sight.
    /// </summary>
    private const double InsistUntil = 0.75;

    /// <summary>How long a replacement goes on in the background once its caller had to be told: unknown.</summary>
    private static readonly TimeSpan ResolveLimit = TimeSpan.FromSeconds(10);
    private const int MostResolving = 64;

    private readonly RecordMirror _mirror = new(context);
    private readonly Dictionary<ulong, Publishing> _publishing = [];
    private int _resolving;
    private long _unmirrored;
    private long _replaced;

    /// <summary>Puts acknowledged by the primary alone.</summary>
    public long Unmirrored => Volatile.Read(ref _unmirrored);

    /// <summary>Objects that took the place of another one.</summary>
    public long Replaced => Volatile.Read(ref _replaced);

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
    public async Task<MeshResult<PutAnswer>> RunAsync(HeldObject held, PutHead head, Deadline deadline,
        CancellationToken cancel)
    {
        var publishing = new Publishing(held, head, incarnation.Value);
        lock (_publishing)
        {
            if (!_publishing.TryAdd(publishing.ObjectId, publishing))
            {
                store.Discard(held);
                return new MeshError(MeshErrorCode.InvalidArgument, "publish", "this put attempt is published already");
            }
        }

        // An earlier attempt of this put has its copy here already, and it was the answer that did not arrive: to offer
        // another would have the owners name an extent that is never committed.
        bool here = store.TryFind(held.Key, out var present);
        if (here && present!.ObjectId == held.ObjectId)
        {
            var own = new PutAnswer(PutFate.Own, true, present.Version, 0);
            End(publishing, own);
            return own;
        }

        // Its place is taken here whatever the owners know: those of the other side of a split may name it.
        if (here && head.Replace)
            publishing.Raise(present!.Version);
        // To its caller anything older than what it has seen would be a step back, and no answer.
        publishing.Raise(head.Seen);

        bool resolve = false;
        MeshResult<PutAnswer> answer = deadline.Error("publish");
        try
        {
            answer = await DecideAsync(publishing, deadline, isAwaited: true, cancel);
            resolve = !answer.Succeeded && TryResolve(publishing);
        }
        catch (OperationCanceledException) when (TryResolve(publishing))
        {
            resolve = true;
            answer = new MeshError(MeshErrorCode.Cancelled, "publish", "cancelled; the value may take its place yet");
        }
        finally
        {
            if (!resolve)
                End(publishing, answer);
        }

        if (resolve)
            _ = context.Runtime.Start(() => ResolveAsync(publishing));
        return answer;
    }

    /// <summary>
    /// Whether a put goes on in the background: the owners may have the replacement on record, and freeing it would
    /// lose the old value and the new one.
    /// </summary>
    private bool TryResolve(Publishing publishing)
    {
        if (!publishing.Head.Replace || !publishing.MayBeOnRecord)
            return false;
        if (Interlocked.Increment(ref _resolving) <= MostResolving)
            return true;
        Interlocked.Decrement(ref _resolving);
        return false;
    }

    private async Task ResolveAsync(Publishing publishing)
    {
        var deadline = new Deadline(context.Runtime.Time, ResolveLimit);
        MeshResult<PutAnswer> answer = deadline.Error("publish");
        try
        {
            answer = await DecideAsync(publishing, deadline, isAwaited: false, CancellationToken.None);
        }
        finally
        {
            Interlocked.Decrement(ref _resolving);
            End(publishing, answer);
        }
    }

    private void End(Publishing publishing, MeshResult<PutAnswer> answer)
    {
        var held = publishing.Held;
        bool kept = answer is { Succeeded: true, Value.Fate: PutFate.Stored or PutFate.Joined };
        lock (_publishing)
        {
            _publishing.Remove(publishing.ObjectId);
            if (_publishing.TryGetValue(held.ObjectId, out var joined) && joined == publishing)
                _publishing.Remove(held.ObjectId);
        }

        if (!kept)
            store.Discard(held);
        else if (publishing.Dropped)
            store.Drop(held.Key, held.ObjectId);
        // An owner may have it on record although its answer never came: a key that points to freed memory would
        // refuse every later put and fail every get. But an earlier attempt of this put may be what is on record.
        if (!kept && publishing.MayBeOnRecord && !HasCommitted(publishing))
            dropped.Add(held, publishing.ObjectId, "", SlotTable.Places);
        // It had its place in the order before what replaced it in turn; that one was told of us alone.
        if (!kept && answer.Succeeded && publishing.Replaced.Count > 0)
        {
            var deadline = new Deadline(context.Runtime.Time, OwnerTimeout);
            _ = context.Runtime.Start(() => TellReplacedAsync(publishing, deadline, CancellationToken.None));
        }
    }

    private async Task TellReplacedAsync(Publishing publishing, Deadline deadline, CancellationToken cancel)
    {
        foreach (var replaced in publishing.Replaced)
            await drops.TellAsync(publishing.Held.Key, replaced, deadline, cancel);
    }

    private bool HasCommitted(Publishing publishing) =>
        store.TryFind(publishing.Held.Key, out var present) && present.ObjectId == publishing.ObjectId;

    private async Task<MeshResult<PutAnswer>> DecideAsync(Publishing publishing, Deadline deadline, bool isAwaited,
        CancellationToken cancel)
    {
        var held = publishing.Held;
        int slot = context.SlotOf(held.Key);
        var backoff = default(Backoff);
        var insistAfter = deadline.Limit / 3 < InsistAfter ? deadline.Limit / 3 : InsistAfter;
        bool insist = false;
        while (!deadline.Passed && !cancel.IsCancellationRequested)
        {
            foreach (var owner in _mirror.Owners(slot))
            {
                // Told to drop what was never answered for: it was on record, and has been replaced or removed.
                if (publishing is { Dropped: true, MayBeOnRecord: true, Head.Replace: true })
                    return new PutAnswer(PutFate.Own, true, publishing.Accepted, 0);
                bool insists = (insist || deadline.Elapsed > insistAfter) && isAwaited
                    && deadline.Elapsed < InsistUntil * deadline.Limit;
                var request = new PublishRequest(held.Key, OfferOf(held), publishing.Head.Wanted, insists,
                    publishing.Head.Replace, publishing.Above, publishing.Accepted);
                var answer = await context.Calls.PublishAsync(owner, request, deadline.AtMost(OwnerTimeout), cancel);
                if (!answer.Succeeded || answer.Value.Items.Length is not (1 or 2))
                {
                    publishing.MayBeOnRecord = true;
                    continue;
                }

                var decided = answer.Value.Items[0];
                publishing.MayBeOnRecord |= decided.Code == OwnerCode.Yes;
                if (decided.Code == OwnerCode.Kept)
                    return KeptAnswer(publishing, decided.Record);
                if (decided.Code == OwnerCode.Yes && decided.Record is { } record)
                {
                    if (answer.Value.Items is [_, { Record: { } replaced }])
                        publishing.Note(replaced);
                    if (await AcceptedAsync(publishing, record, owner, answer.Value.View, deadline, cancel) is { } done)
                        return done;
                    break;
                }

                context.Views.Suggest(answer.Value.View, owner);
                if (decided.Code != OwnerCode.Unsure)
                    continue;
                // Unsure is said by the one that decides but has not heard of the key; another may have.
                if (await ElsewhereAsync(held.Key, owner, deadline, cancel) is { } known
                    && Known(publishing, known) is { } existed)
                    return existed;
                insist = true;
                break;
            }

            await backoff.PauseAsync(context, deadline, cancel);
        }

        return deadline.Error("publish");
    }

    /// <summary>The answer of a put whose key another owner knows; null for one that replaces what is there.</summary>
    private static PutAnswer? Known(Publishing publishing, ObjectRecord known)
    {
        if (!publishing.Head.Replace || known.ObjectId == publishing.ObjectId)
            return KeptAnswer(publishing, known);
        publishing.Raise(known.Version);
        publishing.Note(known);
        return null;
    }

    private static PutAnswer KeptAnswer(Publishing publishing, ObjectRecord? record)
    {
        if (record is null)
            return new PutAnswer(PutFate.Existed, true, default, 0);
        var held = publishing.Held;
        int copies = record.Replicas.Length;
        // What has the key although this put replaces: it came after an earlier attempt of ours.
        if (record.ObjectId == publishing.ObjectId || publishing.Head.Replace)
        {
            bool ours = record.ObjectId == publishing.ObjectId && !record.Removed;
            return new PutAnswer(PutFate.Own, true, ours || publishing.Accepted.IsNone
                ? record.Version
                : publishing.Accepted, copies);
        }

        bool same = record.Size == held.Size && record.Checksum == held.Checksum && held.Checksum != 0;
        return new PutAnswer(same && copies < publishing.Head.Wanted ? PutFate.Held : PutFate.Existed, true,
            record.Version, copies);
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
    private async Task<MeshResult<PutAnswer>?> AcceptedAsync(Publishing publishing, ObjectRecord record,
        NodeRecord acceptor, ViewId view, Deadline deadline, CancellationToken cancel)
    {
        var held = publishing.Held;
        publishing.Accepted = record.Version;
        // A copy that joins an older object is told to drop by that one's id.
        if (record.ObjectId != publishing.ObjectId)
        {
            lock (_publishing)
                _publishing.TryAdd(record.ObjectId, publishing);
        }

        // The backup is that of the view the primary decided in: an older view of ours may name one that no longer is.
        await context.Views.CatchUpAsync(view, acceptor);
        var mirrored = await MirrorAsync(publishing, record, acceptor, view, deadline, cancel);
        if (mirrored is null)
            return publishing.Winner is { } winner ? KeptAnswer(publishing, winner) : null;
        if (!mirrored.Value)
            Interlocked.Increment(ref _unmirrored);
        clear.Learn(record.Cleared);
        if (publishing.Incarnation != incarnation.Value)
            return new MeshError(MeshErrorCode.Unavailable, "publish", "this node was expelled and began a new life");
        var committed = store.TryCommit(held, new CommitAs(record.Version, record.Cleared, record.ObjectId));
        if (committed == CommitOutcome.Cleared)
            return null;
        await TellReplacedAsync(publishing, deadline, cancel);
        Interlocked.Add(ref _replaced, publishing.Replaced.Count);
        bool own = record.ObjectId == publishing.ObjectId;
        var fate = (committed == CommitOutcome.Visible, own || publishing.Head.Replace) switch
        {
            (true, true) => PutFate.Stored,
            (true, false) => PutFate.Joined,
            (false, _) => publishing.Head.Replace || HasCommitted(publishing) ? PutFate.Own : PutFate.Existed,
        };
        return new PutAnswer(fate, mirrored.Value, record.Version, record.Replicas.Length);
    }

    /// <summary>
    /// Whether a second owner has the record; null when it has a newer one of another object, or the put is to be
    /// decided anew.
    /// </summary>
    private async Task<bool?> MirrorAsync(Publishing publishing, ObjectRecord record, NodeRecord acceptor, ViewId view,
        Deadline deadline, CancellationToken cancel)
    {
        var outcome = await _mirror.RunAsync(new KeyedRecord(publishing.Held.Key, record), acceptor, view, deadline,
            cancel);
        clear.Learn(outcome.Cleared);
        if (outcome.Newer is not { } newer)
            return outcome.IsAstray ? null : outcome.Mirrored;
        // First put wins; a replacement, and a put over a removal, is numbered above what won.
        if (publishing.Head.Replace || newer.Removed)
            publishing.Raise(newer.Version);
        else
            publishing.Winner = newer;
        return null;
    }

    private ObjectRecord OfferOf(HeldObject held) => new()
    {
        ObjectId = held.ObjectId,
        Size = held.Size,
        Checksum = held.Checksum,
        Cleared = store.Cleared,
        Replicas = [HolderService.ReplicaOf(held, incarnation.Value)],
    };

    private sealed class Publishing(HeldObject held, PutHead head, ulong incarnation)
    {
        public HeldObject Held { get; } = held;

        public PutHead Head { get; } = head;

        public ulong Incarnation { get; } = incarnation;

        /// <summary>The id it is offered under.</summary>
        public ulong ObjectId { get; } = held.ObjectId;

        /// <summary>What it has taken the place of, whose holders are to be told; seldom more than one.</summary>
        public List<ObjectRecord> Replaced { get; } = [];

        public void Note(ObjectRecord replaced)
        {
            if (!Replaced.Exists(r => r.ObjectId == replaced.ObjectId))
                Replaced.Add(replaced);
        }

        /// <summary>The greatest version that an owner has of the key besides ours; none for a first put.</summary>
        public RecordVersion Above { get; private set; }

        /// <summary>The version it was accepted with last; none before.</summary>
        public RecordVersion Accepted { get; set; }

        /// <summary>The object of a greater version that an owner has, for a put that does not replace.</summary>
        public ObjectRecord? Winner { get; set; }

        public bool Dropped { get; set; }

        public bool MayBeOnRecord { get; set; }

        public void Raise(RecordVersion version) => Above = version > Above ? version : Above;
    }
}
