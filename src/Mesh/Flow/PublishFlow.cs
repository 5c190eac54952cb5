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

    /// <summary>
    /// After so long, or a third of its time, an incomplete acting owner may accept a key that is new to it.
    /// </summary>
    private static readonly TimeSpan InsistAfter = TimeSpan.FromMilliseconds(400);

    /// <summary>
    /// And not in the last quarter of its time: its caller counts from the request's start, and whoever has given us
    /// up may have put the value elsewhere, and another client removed it, all out of an incomplete owner's sight.
    /// </summary>
    private const double InsistUntil = 0.75;

    /// <summary>How long a replacement is offered in the background once its caller had to be told: unknown.</summary>
    private static readonly TimeSpan ResolveLimit = TimeSpan.FromSeconds(10);

    /// <summary>How long owners are asked then whether they have a put on record.</summary>
    private static readonly TimeSpan LearnLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);
    private const int MostResolving = ReservationBook.MaxReservations;
    private const int ResolvingPart = 2; // of the memory, at most

    private readonly RecordMirror _mirror = new(context);
    private readonly Dictionary<ulong, Publishing> _publishing = [];
    private readonly CancellationTokenSource _stop = new();
    private int _resolving;
    private long _resolvingBytes;
    private long _unmirrored;
    private long _replaced;

    /// <summary>Puts acknowledged by the primary alone.</summary>
    public long Unmirrored => Volatile.Read(ref _unmirrored);

    /// <summary>Objects that took the place of another one.</summary>
    public long Replaced => Volatile.Read(ref _replaced);

    /// <summary>Ends what goes on in the background.</summary>
    public void Stop() => _stop.Cancel();

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
        if (!await BeginAsync(publishing, deadline, cancel))
        {
            store.Discard(held);
            return deadline.Error("publish");
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
        MeshResult<PutAnswer>? answer = null;
        try
        {
            answer = await DecideAsync(publishing, deadline, isAwaited: true, cancel);
            resolve = !answer.Value.Succeeded && TryResolve(publishing);
        }
        catch (OperationCanceledException) when (TryResolve(publishing))
        {
            resolve = true;
            answer = new MeshError(MeshErrorCode.Cancelled, "publish", "cancelled; the value may take its place yet");
        }
        finally
        {
            if (!resolve)
                End(publishing, answer ?? deadline.Error("publish"));
        }

        if (resolve)
            Resolve(publishing);
        return answer.Value;
    }

    /// <summary>
    /// Enters a put, once an earlier attempt of it has ended here; false when that takes longer than the caller waits.
    /// </summary>
    private async Task<bool> BeginAsync(Publishing publishing, Deadline deadline, CancellationToken cancel)
    {
        while (true)
        {
            Task earlier;
            lock (_publishing)
            {
                if (_publishing.TryAdd(publishing.ObjectId, publishing))
                    return true;
                earlier = _publishing[publishing.ObjectId].WhenEnded;
            }

            if (cancel.IsCancellationRequested
                || !await earlier.EndsWithinAsync(deadline.Left, context.Runtime.Time, CancellationToken.None))
                return false;
        }
    }

    /// <summary>
    /// Whether a put goes on in the background: the owners may have it on record. Freeing a replacement would lose the
    /// old value and the new one. And whoever puts a key that has a record is told that the value is there, be it the
    /// same caller who tries again: then it must stay there.
    /// </summary>
    private bool TryResolve(Publishing publishing)
    {
        if (!publishing.MayBeOnRecord)
            return false;
        long bytes = Interlocked.Add(ref _resolvingBytes, publishing.Held.Size);
        if (Interlocked.Increment(ref _resolving) <= MostResolving && bytes <= store.Usage.Capacity / ResolvingPart)
            return true;
        EndResolving(publishing);
        return false;
    }

    private void EndResolving(Publishing publishing)
    {
        Interlocked.Decrement(ref _resolving);
        Interlocked.Add(ref _resolvingBytes, -publishing.Held.Size);
    }

    // Not where it is called: what it takes along would be made for every put.
    private void Resolve(Publishing publishing) => _ = context.Runtime.Start(() => ResolveAsync(publishing));

    private async Task ResolveAsync(Publishing publishing)
    {
        var deadline = new Deadline(context.Runtime.Time, ResolveLimit);
        MeshResult<PutAnswer> answer = deadline.Error("publish");
        try
        {
            if (publishing.Head.Replace)
                answer = await DecideAsync(publishing, deadline, isAwaited: false, _stop.Token);
            if (!answer.Succeeded)
                answer = await LearnAsync(publishing, new Deadline(context.Runtime.Time, LearnLimit));
        }
        catch (OperationCanceledException)
        {
            // The node ends, and its memory with it.
        }
        finally
        {
            EndResolving(publishing);
            End(publishing, answer);
        }
    }

    /// <summary>
    /// What became of a put whose caller was told: unknown. It is not offered again, as its caller may have put the
    /// value elsewhere, and another have removed it since; but what an owner has on record takes its place.
    /// </summary>
    private async Task<MeshResult<PutAnswer>> LearnAsync(Publishing publishing, Deadline deadline)
    {
        var key = publishing.Held.Key;
        int slot = context.SlotOf(key);
        var request = new LocateRequest([key], false);
        var pause = FirstPause;
        // Told to drop it: it was on record, and has been removed or replaced.
        while (!deadline.Passed && !_stop.IsCancellationRequested && !publishing.Dropped
            && publishing.Incarnation == incarnation.Value)
        {
            foreach (var owner in _mirror.Owners(slot))
            {
                var answer = await context.Calls.LocateAsync(owner, request, deadline.AtMost(OwnerTimeout),
                    _stop.Token);
                if (answer is not { Succeeded: true, Value.Count: 1 })
                    continue;
                if (answer.Value.RecordOf(0) is not { } record)
                {
                    context.Views.Suggest(answer.Value.View, owner);
                    // A backup that denies it says nothing of a primary that took it and told nobody yet.
                    if (answer.Value.CodeOf(0) == OwnerCode.Absent
                        && context.View.Owner(slot, 0)?.NodeId == owner.NodeId)
                        return new MeshError(MeshErrorCode.NotFound, "publish", "no owner has it on record");
                    continue;
                }

                if (!publishing.IsNamedBy(record))
                    return publishing.Kept(record);
                if (await AcceptedAsync(publishing, record, owner, answer.Value.View, deadline, _stop.Token)
                    is { } done)
                    return done;
                break;
            }

            // Thousands may wait for one owner.
            await context.Runtime.Delay(deadline.AtMost(pause), _stop.Token);
            pause = 2 * pause < LongestPause ? 2 * pause : LongestPause;
        }

        return deadline.Error("publish");
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
            _ = context.Runtime.Start(() => drops.TellAllAsync(held.Key, publishing.Replaced, deadline, default));
        }

        lock (_publishing)
            publishing.End();
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
                var offer = publishing.Offer(store.Cleared, incarnation.Value);
                var request = new PublishRequest(held.Key, offer, publishing.Head.Wanted, insists,
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
                    return await KeptAsync(publishing, decided.Record, owner, answer.Value.View, deadline, cancel);
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
                if (await LocateOperation.ElsewhereAsync(context, held.Key, owner, deadline, cancel) is { } known
                    && publishing.Known(known) is { } existed)
                    return existed;
                insist = true;
                break;
            }

            await backoff.PauseAsync(context, deadline, cancel);
        }

        return deadline.Error("publish");
    }

    /// <summary>
    /// The answer of a put whose key has a record. Where that is of its own earlier attempt, at another holder perhaps,
    /// which has not heard of it yet, a second owner is to know it first, as of any put.
    /// </summary>
    private async Task<PutAnswer> KeptAsync(Publishing publishing, ObjectRecord? record, NodeRecord owner, ViewId view,
        Deadline deadline, CancellationToken cancel)
    {
        if (record is not { Removed: false } || record.ObjectId != publishing.ObjectId)
            return publishing.Kept(record);
        var mirror = await _mirror.RunAsync(new KeyedRecord(publishing.Held.Key, record), owner, view, deadline,
            cancel);
        return publishing.Kept(record) with { Mirrored = mirror.Mirrored };
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
        await context.Views.CatchUpAsync(view, acceptor, deadline.Left, cancel);
        if (deadline.Passed)
            return null;
        var mirrored = await MirrorAsync(publishing, record, acceptor, view, deadline, cancel);
        if (mirrored is null)
            return publishing.Winner is { } winner ? publishing.Kept(winner) : null;
        if (!mirrored.Value)
            Interlocked.Increment(ref _unmirrored);
        clear.Learn(record.Cleared);
        if (publishing.Incarnation != incarnation.Value)
            return new MeshError(MeshErrorCode.Unavailable, "publish", "this node was expelled and began a new life");
        var committed = store.TryCommit(held, new CommitAs(record.Version, record.Cleared, record.ObjectId));
        if (committed == CommitOutcome.Cleared)
            return null;
        await drops.TellAllAsync(held.Key, publishing.Replaced, deadline, cancel);
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
}
