// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>How a mirror ended.</summary>
/// <param name="Mirrored">Whether a second owner has the record.</param>
/// <param name="Newer">What an owner has instead, under a greater version; null: nothing.</param>
/// <param name="Cleared">The last removal of everything that an owner told of.</param>
/// <param name="IsAstray">
/// Whether it could not be learnt who is to have it, or not all of them were told in time: it was decided in another
/// view than ours, and is to be decided anew.
/// </param>
internal readonly record struct MirrorOutcome(bool Mirrored, ObjectRecord? Newer, long Cleared, bool IsAstray = false);

/// <summary>
/// Brings a numbered record to a second owner. An owner that cannot be reached is owed it. When the view changes
/// meanwhile, an owner may have handed the slot on before the record came to it: the owners of the new view are then
/// told as well, or one of them would deny what is acknowledged. So are those of a view of another ring that we do not
/// adopt: it could not be pulled yet, or it is no newer than ours, and still the one that goes on, as ours may hold
/// members that have gone, after an outage of the registry (<see cref="ViewKeeper"/>).
/// </summary>
internal sealed class RecordMirror(FlowContext context)
{
    private const int MostViews = 4;
    private static readonly TimeSpan CallTimeout = TimeSpan.FromMilliseconds(500);

    /// <summary>Mirrors what <paramref name="acceptor"/> decided in <paramref name="view"/>.</summary>
    public async Task<MirrorOutcome> RunAsync(KeyedRecord record, NodeRecord acceptor, ViewId view, Deadline deadline,
        CancellationToken cancel)
    {
        var round = new Round(record, acceptor, view);
        Note(round, view, acceptor);
        int slot = context.SlotOf(record.Key);
        var owed = OweSkipped(round, slot, deadline, cancel);
        foreach (var owner in Owners(slot))
        {
            if (await TellAsync(round, owner, deadline, cancel))
                break;
        }

        foreach (var call in owed ?? [])
            await call;
        bool late = false;
        for (int i = 0; i < MostViews && round.Newer is null && round.IsBehind && !late; i++)
        {
            if (round.Apart is not null)
                await TellApartAsync(round, slot, deadline, cancel);
            else
                await TellNewerAsync(round, slot, deadline, cancel);
            late = deadline.Passed;
        }

        // The one that decided has not heard of what won: it would go on to name what is dropped now.
        if (round.Newer is { } newer)
        {
            var winner = new KeyedRecord(record.Key, newer);
            _ = context.Calls.MirrorAsync(acceptor, new MirrorRequest([winner]), CallTimeout, CancellationToken.None);
        }

        return new MirrorOutcome(round.Told.Count > 1, round.Newer, round.Cleared,
            round.Newer is null && (late || round.IsBehind));
    }

    /// <summary>Notes a view that somebody acts in: a newer one, or one of another ring.</summary>
    private void Note(Round round, ViewId seen, NodeRecord from)
    {
        if (seen.IsNewerThan(round.Seen))
            (round.Seen, round.From) = (seen, from);
        else if (seen.Digest != context.View.Id.Digest && seen != round.Fetched)
            round.Apart = from;
    }

    /// <summary>Tells the owners of a newer view, once it is ours.</summary>
    private async Task TellNewerAsync(Round round, int slot, Deadline deadline, CancellationToken cancel)
    {
        await context.Views.CatchUpAsync(round.Seen, round.From, deadline.Left, cancel);
        round.View = round.Seen;
        if (round.Seen.Digest != context.View.Id.Digest)
            round.Apart = round.From;
        await TellOwnersAsync(round, context.View, slot, deadline, cancel);
    }

    /// <summary>Tells the owners of another ring, once its members are known.</summary>
    private async Task TellApartAsync(Round round, int slot, Deadline deadline, CancellationToken cancel)
    {
        var fetch = context.Calls.IsSelf(round.Apart!) ? null
            : ViewTracker.FetchAsync(context.Calls, round.Apart!, deadline.AtMost(CallTimeout), cancel);
        // Each page has its own timeout.
        if (fetch is not null && !await fetch.EndsWithinAsync(deadline.Left, context.Runtime.Time, cancel))
            return;
        MeshResult<MeshView> theirs = fetch is null ? context.View : await fetch;
        if (!theirs.Succeeded || theirs.Value.Config.Slots != context.View.Config.Slots)
            return;
        (round.Fetched, round.Apart) = (theirs.Value.Id, null);
        await TellOwnersAsync(round, theirs.Value, slot, deadline, cancel);
    }

    private async Task TellOwnersAsync(Round round, MeshView view, int slot, Deadline deadline,
        CancellationToken cancel)
    {
        for (int place = 0; place <= 1; place++)
        {
            if (view.Owner(slot, place) is not { } owner || round.Told.Contains(owner.NodeId))
                continue;
            if (context.IsDown(owner))
                await OweAsync(round, owner, deadline, cancel);
            else
                await TellAsync(round, owner, deadline, cancel);
        }
    }

    /// <summary>
    /// Primary and backup that cannot be reached from here, and for whom a third owner is told: perhaps it is our way
    /// alone that is cut. The acceptor owes them the record, or they would pass for complete without it.
    /// </summary>
    private List<Task>? OweSkipped(Round round, int slot, Deadline deadline, CancellationToken cancel)
    {
        List<Task>? owed = null;
        for (int place = 0; place <= 1; place++)
        {
            if (context.View.Owner(slot, place) is { } owner && owner.NodeId != round.Acceptor.NodeId
                && context.IsDown(owner))
                (owed ??= []).Add(OweAsync(round, owner, deadline, cancel));
        }

        return owed;
    }

    private Task OweAsync(Round round, NodeRecord owner, Deadline deadline, CancellationToken cancel) =>
        context.Calls.OweAsync(round.Acceptor, new OweRequest(owner.NodeId, context.SlotOf(round.Record.Key)),
            deadline.AtMost(CallTimeout), cancel);

    /// <summary>Tells one owner that does not know; whether it knows now, or has something newer.</summary>
    private async Task<bool> TellAsync(Round round, NodeRecord owner, Deadline deadline, CancellationToken cancel)
    {
        if (round.Newer is not null || round.Told.Contains(owner.NodeId))
            return false;
        var answer = await context.Calls.MirrorAsync(owner, new MirrorRequest([round.Record]),
            deadline.AtMost(CallTimeout), cancel);
        if (!answer.Succeeded || answer.Value.Items is not [{ Code: not OwnerCode.Unsure } item])
        {
            await OweAsync(round, owner, deadline, cancel);
            return false;
        }

        Note(round, answer.Value.View, owner);
        var kept = item.Code == OwnerCode.Kept ? item.Record : null;
        round.Cleared = Math.Max(round.Cleared, kept?.Cleared ?? 0);
        if (kept is not null && kept.ObjectId != round.Record.Record.ObjectId)
            round.Newer = kept;
        else
            round.Told.Add(owner.NodeId);
        return true;
    }

    /// <summary>The preference list, those that cannot be reached last.</summary>
    public List<NodeRecord> Owners(int slot)
    {
        var view = context.View;
        var owners = new List<NodeRecord>(SlotTable.Places);
        List<NodeRecord>? down = null;
        for (int place = 0; place < SlotTable.Places; place++)
        {
            if (view.Owner(slot, place) is { } node)
                (context.IsDown(node) ? down ??= [] : owners).Add(node);
        }

        if (down is not null)
            owners.AddRange(down);
        return owners;
    }

    private sealed class Round(KeyedRecord record, NodeRecord acceptor, ViewId view)
    {
        public KeyedRecord Record { get; } = record;

        public NodeRecord Acceptor { get; } = acceptor;

        /// <summary>The nodes that have it.</summary>
        public List<string> Told { get; } = [acceptor.NodeId];

        /// <summary>The view whose owners have been told.</summary>
        public ViewId View { get; set; } = view;

        /// <summary>The newest view that one of them answered from, and who that was.</summary>
        public ViewId Seen { get; set; } = view;

        public NodeRecord From { get; set; } = acceptor;

        /// <summary>Who acts in another ring, whose owners have not been told; null: nobody.</summary>
        public NodeRecord? Apart { get; set; }

        /// <summary>The last such view that was learnt.</summary>
        public ViewId Fetched { get; set; }

        /// <summary>Whether there is a view whose owners have not been told.</summary>
        public bool IsBehind => Apart is not null || Seen.IsNewerThan(View);

        public ObjectRecord? Newer { get; set; }

        public long Cleared { get; set; }
    }
}
