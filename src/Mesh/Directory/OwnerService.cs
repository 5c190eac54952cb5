// SPDX-License-Identifier: Apache-2.0

// On the data path.
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// What this node does as an owner of slots (rank 1): decides, numbers, applies, finds. Each call is synchronous and
/// takes one slot's lock at a time. Only the acting primary decides (rule A6); a node acts while it cannot itself reach
/// any node before it in the preference list (rule A7); only a complete one says Absent (rule A11).
/// </summary>
internal sealed class OwnerService : IOwnerCalls
{
    private readonly DirectoryTable _table;
    private readonly SlotStates _states;
    private readonly Func<NodeRecord, bool> _isUnreachable;
    private readonly IActingRule _acting;
    private readonly ITombstoneRule _tombstones;
    private readonly TimeProvider _time;
    private readonly SlotStreamer _streamer;
    private readonly OwnerDecisions _decisions;
    private readonly Locator _locator;
    private readonly HolderClaims _claims;
    private long _confidentUntil = long.MaxValue;

    public OwnerService(DirectoryTable table, SlotStates states, Func<NodeRecord, bool> isUnreachable,
        TimeProvider time, MeshPolicies? policies = null)
    {
        policies ??= MeshPolicies.Default;
        _acting = policies.Acting;
        _tombstones = policies.Tombstone;
        _table = table;
        _states = states;
        _isUnreachable = isUnreachable;
        _time = time;
        Tombstones = new TombstoneClock(time);
        _streamer = new SlotStreamer(table, states, Tombstones, () => Confident, time);
        _decisions = new OwnerDecisions(this, table, states, policies);
        _locator = new Locator(table, this);
        _claims = new HolderClaims(table, states, this);
    }

    /// <summary>Counters of the owner's rules.</summary>
    public OwnerCounters Counters { get; } = new();

    /// <summary>How old tombstones are.</summary>
    public TombstoneClock Tombstones { get; }

    /// <summary>Told of the replicas that lost against a greater version: their holders must drop them.</summary>
    public Action<MeshKey, ObjectRecord>? OnLoser { get; set; }

    /// <summary>Whom to wait for before anything is decided in a new view; null: nobody.</summary>
    public Succession? Succession { get; init; }

    /// <summary>Told that mirrors of a slot did not reach a node.</summary>
    public Action<string, int>? OnDebt { get; set; }

    /// <summary>
    /// False after a pause, until the view has been confirmed (rule A8): every answer is then Unsure. It ends by itself
    /// when nobody renews it, so that a process that wakes up is not confident before it has looked at the clock.
    /// </summary>
    public bool Confident => _time.GetTimestamp() < Volatile.Read(ref _confidentUntil);

    /// <summary>Trusts the view for so long from now on; zero: no longer.</summary>
    public void TrustFor(TimeSpan span) => Volatile.Write(ref _confidentUntil,
        _time.GetTimestamp() + (long)(span.TotalSeconds * _time.TimestampFrequency));

    /// <summary>
    /// Whether what this node decides for a slot counts: its view is confirmed, and nobody decides in an older one.
    /// </summary>
    public bool MayDecide(int slot) => Confident && Succession?.MayDecide(slot) != false;

    /// <summary>Whether this node decides for a slot now.</summary>
    public bool IsActing(int slot) => IsActing(_states.Current, slot);

    /// <summary>Where the bytes of small objects of this node can be read; null: it holds none.</summary>
    public IInlineValues? Values
    {
        set => _locator.Values = value;
    }

    /// <inheritdoc/>
    public LocateAnswer Locate(in LocateRequest request) => _locator.Locate(_states.Current, request);

    /// <inheritdoc/>
    public void Locate(ref MessagePackReader reader, ReadOnlySpan<byte> frame, ref MessagePackWriter answer) =>
        _locator.Answer(_states.Current, ref reader, frame, ref answer);

    /// <inheritdoc/>
    public OwnerAnswers Publish(in PublishRequest request)
    {
        // Rule A9: the registry alone says that everything was removed; until it has told us, who knows more waits.
        return request.Offer.Cleared > _table.Cleared
            ? new OwnerAnswers(_states.Current.View.Id, [new OwnerAnswer(OwnerCode.Unsure)])
            : _decisions.Publish(request);
    }

    /// <inheritdoc/>
    public OwnerAnswers Mirror(in MirrorRequest request)
    {
        var items = new OwnerAnswer[request.Records.Length];
        for (int i = 0; i < items.Length; i++)
            items[i] = Apply(request.Records[i].Key, request.Records[i].Record);
        // Read last: while it is the view the record was decided in, no stream of the next one can have missed it.
        return new OwnerAnswers(_states.Current.View.Id, items);
    }

    /// <inheritdoc/>
    public OwnerAnswers Retract(in RetractRequest request)
    {
        var roles = _states.Current;
        var items = new OwnerAnswer[request.Items.Length];
        for (int i = 0; i < items.Length; i++)
            items[i] = new OwnerAnswer(Retract(roles, request.Items[i], request.Incarnation, request.Done));
        return new OwnerAnswers(roles.View.Id, items);
    }

    /// <inheritdoc/>
    public ClaimAnswer Claim(in ClaimRequest request) => _claims.Claim(request);

    /// <inheritdoc/>
    public OwnerAnswers Settle(in SettleRequest request) => _claims.Settle(request);

    /// <inheritdoc/>
    public SlotPage Pull(in SlotPullRequest request) => _streamer.Pull(request);

    /// <inheritdoc/>
    public SlotStateAnswer State(in SlotStateRequest request) => _streamer.State(request);

    /// <inheritdoc/>
    public Done Owe(in OweRequest request)
    {
        if (request.Slot < 0 || request.Slot >= _table.Slots)
            return new Done(0);
        OnDebt?.Invoke(request.NodeId, request.Slot);
        return new Done(1);
    }

    /// <summary>
    /// Puts a tombstone in place of a key's record, as its acting primary. Yes carries the tombstone; the record that
    /// was there comes in <paramref name="removed"/>. Absent carries an earlier tombstone, if there is one. Unsure: it
    /// cannot be numbered above what the caller has seen.
    /// </summary>
    public OwnerAnswers Remove(in MeshKey key, in RecordVersion seen, out ObjectRecord? removed) =>
        _decisions.Remove(key, seen, out removed);

    /// <summary>
    /// Applies a record someone else numbered: the greater version stays, equal ones of one object join replicas.
    /// Kept carries the record that stayed. Unsure: it comes after a removal of everything that this node has not heard
    /// of.
    /// </summary>
    public OwnerAnswer Apply(in MeshKey key, ObjectRecord incoming)
    {
        if (incoming.Cleared > _table.Cleared)
            return new OwnerAnswer(OwnerCode.Unsure);
        int slot = _table.SlotOf(key.Hash);
        ObjectRecord? loser = null;
        OwnerAnswer answer;
        lock (_table.LockOf(slot))
        {
            bool found = _table.TryFind(slot, key, out var present);
            long cleared = _table.ClearedOf(slot);
            if (incoming.Cleared < cleared)
            {
                return new OwnerAnswer(OwnerCode.Kept,
                    incoming with { Removed = true, Replicas = [], Cleared = cleared });
            }

            if (!found)
            {
                Store(slot, key, incoming);
                return new OwnerAnswer(OwnerCode.Yes);
            }

            int order = incoming.Version.CompareTo(present.Version);
            if (order == 0)
                order = incoming.ObjectId.CompareTo(present.ObjectId);
            if (order == 0 && incoming.Removed == present.Removed)
            {
                Join(slot, key, present, incoming);
                return new OwnerAnswer(OwnerCode.Yes);
            }

            if (incoming.Removed != present.Removed && present.ObjectId == incoming.ObjectId
                && !_tombstones.MayPass(present.ObjectId, incoming.ObjectId))
            {
                answer = Bury(slot, key, present.ToRecord() with { Cleared = cleared }, incoming, out loser);
            }
            else if (order > 0)
            {
                loser = present.ObjectId == incoming.ObjectId && !incoming.Removed ? null : present.ToRecord();
                var winner = loser is null ? Union(incoming, present.ToRecord()) : incoming;
                Store(slot, key, winner);
                answer = new OwnerAnswer(OwnerCode.Yes);
            }
            else
            {
                // One object numbered twice, on two sides of a split: its copies on both are copies of it.
                if (present.ObjectId == incoming.ObjectId && !present.Removed && !incoming.Removed
                    && Join(slot, key, present, incoming))
                    _table.TryFind(slot, key, out present);
                answer = new OwnerAnswer(OwnerCode.Kept, present.ToRecord() with { Cleared = cleared });
            }
        }

        if (loser is { Replicas.Length: > 0 })
            OnLoser?.Invoke(key, loser);
        return answer;
    }

    /// <summary>
    /// Forgets, in one slot, tombstones older than <paramref name="age"/> and replicas whose holder is gone for good.
    /// </summary>
    public int Sweep(int slot, TimeSpan age, Func<ulong, bool> isGone) =>
        _table.CountOf(slot) == 0 ? 0 : SweepRecords(slot, age, isGone);

    private int SweepRecords(int slot, TimeSpan age, Func<ulong, bool> isGone)
    {
        var due = new List<KeyedRecord>();
        lock (_table.LockOf(slot))
        {
            _table.CopySlot(slot, due, IsDue);
            foreach (var (key, record) in due)
            {
                var left = record.Removed ? [] : Array.FindAll(record.Replicas, r => !isGone(r.Incarnation));
                if (left.Length == 0)
                    _table.Remove(slot, key);
                else
                    Store(slot, key, record with { Replicas = left });
            }
        }

        return due.Count;

        bool IsDue(RecordRef record)
        {
            if (record.Removed)
                return Tombstones.IsOlderThan(record, age);
            foreach (ref readonly var cell in record.Replicas)
            {
                if (isGone(cell.Incarnation))
                    return true;
            }

            return false;
        }
    }

    /// <summary>What this node says of a key that it does not have.</summary>
    public OwnerCode Without(Roles roles, int slot)
    {
        if (roles.PlaceOf(slot) == SlotStates.NoPlace)
            return OwnerCode.NotOwner;
        return Confident && _states.MayDeny(slot) && IsActing(roles, slot) ? OwnerCode.Absent : OwnerCode.Unsure;
    }

    private OwnerCode Retract(Roles roles, in RetractItem item, ulong incarnation, bool done)
    {
        int slot = _table.SlotOf(item.Key.Hash);
        if (!done && !IsActing(roles, slot))
            return OwnerCode.NotOwner;
        lock (_table.LockOf(slot))
        {
            if (!_table.TryFind(slot, item.Key, out var record) || record.Removed || record.ObjectId != item.ObjectId)
                return OwnerCode.Yes;
            if (item.Generation != 0 && record.ReplicaOf(incarnation).Generation != item.Generation)
                return OwnerCode.Yes;
            if (!done && record.Marked)
            {
                record.Marked = false;
                Counters.RetractRefused();
                return OwnerCode.Kept;
            }

            var left = record.ToRecord(holder => holder != incarnation) with { Cleared = _table.ClearedOf(slot) };
            if (left.Replicas.Length == 0)
                _table.Remove(slot, item.Key);
            else if (left.Replicas.Length < record.Replicas.Length)
                Store(slot, item.Key, left);
            Counters.Retracted();
            return OwnerCode.Yes;
        }
    }

    /// <summary>Whether this node decides for a slot in the view of <paramref name="roles"/>.</summary>
    public bool IsActing(Roles roles, int slot) => _acting.IsActing(roles, slot, _isUnreachable);

    /// <summary>
    /// An object and its removal meet: it stays removed, whatever number it was given on the other side of a split. The
    /// tombstone takes the greater number, so that it stands where the object stood. Under the lock of the slot.
    /// </summary>
    private OwnerAnswer Bury(int slot, in MeshKey key, ObjectRecord present, ObjectRecord incoming,
        out ObjectRecord? loser)
    {
        var version = incoming.Version > present.Version ? incoming.Version : present.Version;
        if (incoming.Removed)
        {
            loser = present;
            Store(slot, key, incoming with { Version = version });
            return new OwnerAnswer(OwnerCode.Yes);
        }

        loser = null;
        // As it is in the table: it is no younger than it was.
        var tombstone = present with { Version = version };
        if (version != present.Version)
            _table.Set(slot, key, tombstone);
        return new OwnerAnswer(OwnerCode.Kept, tombstone);
    }

    /// <summary>Adds the copies of another record of the same object; whether there were any.</summary>
    private bool Join(int slot, in MeshKey key, RecordRef present, ObjectRecord incoming)
    {
        var before = present.ToRecord() with { Cleared = incoming.Cleared };
        var joined = Union(before, incoming);
        if (joined.Replicas.AsSpan().SequenceEqual(before.Replicas))
            return false;
        bool marked = present.Marked;
        Store(slot, key, joined);
        if (marked && _table.TryFind(slot, key, out var again))
            again.Marked = true;
        return true;
    }

    /// <summary>Writes a record; under the lock of its slot.</summary>
    public void Store(int slot, in MeshKey key, ObjectRecord record) =>
        _table.Set(slot, key, Tombstones.Kept(record));

    /// <summary>
    /// A record with the replicas of another one of the same object besides. Of two that one holder made the later
    /// stays: its generation words come from one counter, and the earlier attempt's extent is free by now.
    /// </summary>
    public static ObjectRecord Union(ObjectRecord record, ObjectRecord other)
    {
        var replicas = new List<Replica>(record.Replicas);
        foreach (var replica in other.Replicas)
        {
            int same = replicas.FindIndex(r => r.Incarnation == replica.Incarnation);
            if (same >= 0 && (long)(replica.Generation - replicas[same].Generation) > 0)
                replicas[same] = replica;
            if (same < 0 && replicas.Count < Wire.MaxReplicas)
                replicas.Add(replica);
        }

        return record with { Replicas = [.. replicas] };
    }
}
