// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Directory;

public sealed class OwnerServiceTests : IDisposable
{
    private readonly OwnerWorld _world = new();

    public void Dispose() => _world.Dispose();

    [Fact]
    public void Where_a_namesake_of_another_life_is_the_member_this_one_has_no_place()
    {
        ulong own = OwnerWorld.IncarnationOf("n1") + 10;
        var states = new SlotStates("n1", OwnerWorld.Slots, null, member => member.Incarnation == own);
        states.Adopt(MeshView.Empty, OwnerWorld.ViewOf(10, "n1", "n2"));
        Assert.All(Enumerable.Range(0, OwnerWorld.Slots), slot =>
            Assert.Equal(SlotStates.NoPlace, states.PlaceOf(slot)));
        own -= 10;
        states.Adopt(states.Current.View, OwnerWorld.ViewOf(11, "n1", "n2"));
        Assert.All(Enumerable.Range(0, OwnerWorld.Slots), slot => Assert.InRange(states.PlaceOf(slot), 0, 1));
    }

    [Fact]
    public void The_first_publish_is_numbered_and_found()
    {
        var key = _world.KeyAt(0);
        Assert.Equal(OwnerCode.Absent, _world.Locate(key).Code);
        var answer = _world.Publish(key, OwnerWorld.Offer(1));
        Assert.Equal(OwnerCode.Yes, answer.Code);
        Assert.Equal(new RecordVersion(1, 10, 1), answer.Record!.Version);
        var located = _world.Locate(key);
        Assert.Equal(OwnerCode.Yes, located.Code);
        Assert.Equal(1ul, located.Record!.ObjectId);
        Assert.Equal(answer.Record.Replicas, located.Record.Replicas);
        Assert.Equal(1, _world.Owner.Counters.AcceptedPuts);
    }

    [Fact]
    public void A_publish_of_another_object_meets_the_one_that_is_there()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(1));
        var answer = _world.Publish(key, OwnerWorld.Offer(2, "n2"), wanted: 3);
        Assert.Equal(OwnerCode.Kept, answer.Code);
        Assert.Equal(1ul, answer.Record!.ObjectId);
        Assert.Single(_world.Locate(key).Record!.Replicas);
    }

    [Fact]
    public void Copies_of_one_object_join_up_to_the_number_wanted()
    {
        var key = _world.KeyAt(0);
        var first = _world.Publish(key, OwnerWorld.Offer(1), wanted: 2);
        var again = _world.Publish(key, OwnerWorld.Offer(1), wanted: 2);
        Assert.Equal(OwnerCode.Yes, again.Code);
        Assert.Equal(first.Record!.Version, again.Record!.Version);
        Assert.Single(again.Record.Replicas);
        var second = _world.Publish(key, OwnerWorld.Offer(1, "n2"), wanted: 2);
        Assert.Equal(OwnerCode.Yes, second.Code);
        Assert.Equal(2, second.Record!.Replicas.Length);
        Assert.Equal(OwnerCode.Kept, _world.Publish(key, OwnerWorld.Offer(1, "n3"), wanted: 2).Code);
        Assert.Equal(2, _world.Locate(key).Record!.Replicas.Length);
    }

    [Fact]
    public void Only_the_acting_primary_decides()
    {
        var backup = _world.KeyAt(1);
        Assert.Equal(OwnerCode.NotOwner, _world.Publish(backup, OwnerWorld.Offer(1)).Code);
        Assert.Equal(OwnerCode.NotOwner, _world.Remove(backup).Code);
        Assert.Equal(OwnerCode.NotOwner, _world.Retract(backup, 1));
        Assert.Equal(OwnerCode.Unsure, _world.Locate(backup).Code);
        string primary = _world.View.Owner(_world.SlotOf(backup), 0)!.NodeId;
        _world.Unreachable.Add(primary);
        Assert.Equal(OwnerCode.Absent, _world.Locate(backup).Code);
        Assert.Equal(OwnerCode.Yes, _world.Publish(backup, OwnerWorld.Offer(1)).Code);
        Assert.Contains((primary, _world.SlotOf(backup)), _world.Debts);
        _world.Unreachable.Clear();
        Assert.Equal(OwnerCode.NotOwner, _world.Remove(backup).Code);
        Assert.Equal(OwnerCode.Yes, _world.Locate(backup).Code);
    }

    [Fact]
    public void A_node_that_is_not_in_the_view_owns_nothing()
    {
        using var world = new OwnerWorld("n9");
        var key = new MeshKey("k");
        Assert.Equal(OwnerCode.NotOwner, world.Locate(key).Code);
        Assert.Equal(OwnerCode.NotOwner, world.Publish(key, OwnerWorld.Offer(1)).Code);
        Assert.Equal(OwnerCode.NotOwner, world.Remove(key).Code);
    }

    [Fact]
    public void An_owner_that_is_not_complete_neither_denies_nor_takes_unknown_keys()
    {
        var key = _world.KeyAt(0);
        _world.States.SetIncomplete(_world.SlotOf(key));
        Assert.Equal(OwnerCode.Unsure, _world.Locate(key).Code);
        Assert.Equal(OwnerCode.Unsure, _world.Remove(key).Code);
        Assert.Equal(OwnerCode.Unsure, _world.Publish(key, OwnerWorld.Offer(1)).Code);
        Assert.Equal(OwnerCode.Yes, _world.Publish(key, OwnerWorld.Offer(1), insist: true).Code);
        Assert.Equal(OwnerCode.Kept, _world.Publish(key, OwnerWorld.Offer(2)).Code);
        Assert.Equal(OwnerCode.Yes, _world.Locate(key).Code);
    }

    /// <summary>It has joined in a view that this owner has not adopted yet: its object would be hidden here.</summary>
    [Fact]
    public void What_an_unknown_holder_offers_is_not_accepted()
    {
        var key = _world.KeyAt(0);
        Assert.Equal(OwnerCode.Unsure, _world.Publish(key, OwnerWorld.Offer(1, "n9"), insist: true).Code);
        Assert.Equal(OwnerCode.Absent, _world.Locate(key).Code);
    }

    [Fact]
    public void A_key_whose_holder_came_in_a_later_view_is_not_denied_and_one_whose_holder_left_is()
    {
        var later = _world.KeyAt(0);
        var left = _world.KeyAt(0, skip: 1);
        var id = _world.View.Id;
        Mirror(later, new RecordVersion(id.Epoch, id.Revision + 1, 1));
        Mirror(left, new RecordVersion(id.Epoch, id.Revision, 1));
        Assert.Equal(OwnerCode.Unsure, _world.Locate(later).Code);
        Assert.Equal(OwnerCode.Absent, _world.Locate(left).Code);

        void Mirror(MeshKey key, RecordVersion version) => Assert.Equal(OwnerCode.Yes,
            _world.Mirror(key, OwnerWorld.Offer(1, "n9") with { Version = version }).Code);
    }

    [Fact]
    public void After_a_pause_nothing_is_denied_or_decided()
    {
        var key = _world.KeyAt(0);
        var present = _world.KeyAt(0, skip: 1);
        _world.Publish(present, OwnerWorld.Offer(1));
        _world.Owner.TrustFor(TimeSpan.Zero);
        Assert.Equal(OwnerCode.Unsure, _world.Locate(key).Code);
        Assert.Equal(OwnerCode.Unsure, _world.Publish(key, OwnerWorld.Offer(1), insist: true).Code);
        Assert.Equal(OwnerCode.Unsure, _world.Remove(present).Code);
        Assert.Equal(OwnerCode.Yes, _world.Locate(present).Code);
    }

    [Fact]
    public void Of_two_records_the_greater_version_stays()
    {
        var key = _world.KeyAt(1);
        var older = OwnerWorld.Offer(1) with { Version = new RecordVersion(1, 10, 5) };
        var newer = OwnerWorld.Offer(2, "n2") with { Version = new RecordVersion(1, 11, 1) };
        Assert.Equal(OwnerCode.Yes, _world.Mirror(key, older).Code);
        Assert.Equal(OwnerCode.Yes, _world.Mirror(key, newer).Code);
        Assert.Equal(1ul, Assert.Single(_world.Losers).Record.ObjectId);
        var kept = _world.Mirror(key, older);
        Assert.Equal(OwnerCode.Kept, kept.Code);
        Assert.Equal(2ul, kept.Record!.ObjectId);
        Assert.Single(_world.Losers);
        Assert.Equal(2ul, _world.Locate(key).Record!.ObjectId);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Two_records_of_one_version_end_alike_in_any_order(bool swap)
    {
        var key = _world.KeyAt(1);
        var version = new RecordVersion(1, 10, 5);
        ObjectRecord[] records =
        [
            OwnerWorld.Offer(1) with { Version = version }, OwnerWorld.Offer(2, "n2") with { Version = version },
            OwnerWorld.Offer(2, "n3") with { Version = version },
        ];
        if (swap)
            Array.Reverse(records);
        foreach (var record in records)
            _world.Mirror(key, record);
        var located = _world.Locate(key).Record!;
        Assert.Equal(2ul, located.ObjectId);
        Assert.Equal(2, located.Replicas.Length);
    }

    [Fact]
    public void A_newer_record_of_the_same_object_keeps_the_copies_known()
    {
        var key = _world.KeyAt(1);
        _world.Mirror(key, OwnerWorld.Offer(1) with { Version = new RecordVersion(1, 10, 1) });
        _world.Mirror(key, OwnerWorld.Offer(1, "n2") with { Version = new RecordVersion(1, 10, 2) });
        Assert.Equal(2, _world.Locate(key).Record!.Replicas.Length);
        Assert.Empty(_world.Losers);
    }

    [Fact]
    public void A_removed_key_stays_removed_against_its_own_late_copies()
    {
        var key = _world.KeyAt(0);
        var published = _world.Publish(key, OwnerWorld.Offer(1), wanted: 2).Record!;
        var removed = _world.Remove(key);
        Assert.Equal(OwnerCode.Yes, removed.Code);
        Assert.True(removed.Record!.Removed);
        Assert.True(removed.Record.Version > published.Version);
        Assert.Equal(OwnerCode.Absent, _world.Locate(key).Code);
        Assert.Equal(OwnerCode.Absent, _world.Remove(key).Code);
        Assert.Equal(OwnerCode.Kept, _world.Publish(key, OwnerWorld.Offer(1, "n2"), wanted: 2).Code);
        Assert.Equal(OwnerCode.Kept, _world.Mirror(key, published).Code);
        Assert.Equal(OwnerCode.Absent, _world.Locate(key).Code);
        var next = _world.Publish(key, OwnerWorld.Offer(2));
        Assert.Equal(OwnerCode.Yes, next.Code);
        Assert.True(next.Record!.Version > removed.Record.Version);
        Assert.Equal(OwnerCode.Kept, _world.Mirror(key, removed.Record).Code);
        Assert.Equal(2ul, _world.Locate(key).Record!.ObjectId);
    }

    [Fact]
    public void A_tombstone_is_forgotten_once_it_is_old_and_not_before()
    {
        var key = _world.KeyAt(0);
        int slot = _world.SlotOf(key);
        _world.Publish(key, OwnerWorld.Offer(1));
        var tombstone = _world.Remove(key).Record!;
        _world.Time.Advance(TimeSpan.FromSeconds(59));
        Assert.Equal(0, _world.Owner.Sweep(slot, TimeSpan.FromMinutes(1), _ => false));
        Assert.Equal(1, _world.Table.CountOf(slot));
        _world.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(1, _world.Owner.Sweep(slot, TimeSpan.FromMinutes(1), _ => false));
        Assert.Equal(0, _world.Table.CountOf(slot));
        var next = _world.Publish(key, OwnerWorld.Offer(2));
        Assert.True(next.Record!.Version > tombstone.Version);
    }

    [Fact]
    public void A_tombstone_that_is_handed_over_lives_no_longer_than_at_its_first_owner()
    {
        var key = _world.KeyAt(0);
        int slot = _world.SlotOf(key);
        _world.Publish(key, OwnerWorld.Offer(1));
        var late = _world.Locate(key).Record!;
        _world.Remove(key);
        _world.Time.Advance(TimeSpan.FromMinutes(7));
        var set = new SlotSet(OwnerWorld.Slots);
        set.Add(slot);
        var streamed = Assert.Single(_world.Owner.Pull(new SlotPullRequest(_world.View.Id, 0, set)).Records);
        using var next = new OwnerWorld();
        next.Mirror(key, streamed.Record);
        Assert.Equal(OwnerCode.Kept, next.Mirror(key, late).Code);
        next.Time.Advance(TimeSpan.FromMinutes(2.9));
        Assert.Equal(0, next.Owner.Sweep(slot, TombstoneClock.Life, _ => false));
        next.Time.Advance(TimeSpan.FromMinutes(0.2));
        Assert.Equal(1, next.Owner.Sweep(slot, TombstoneClock.Life, _ => false));
    }

    /// <summary>On the other side of a split one put was numbered higher than its removal on this one.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_removed_object_stays_removed_whatever_number_it_has_elsewhere(bool tombstoneFirst)
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(1));
        var tombstone = _world.Remove(key).Record!;
        var record = OwnerWorld.Offer(1, "n2") with { Version = Above(7) };
        using var other = new OwnerWorld();
        if (tombstoneFirst)
        {
            other.Mirror(key, tombstone);
            var kept = other.Mirror(key, record);
            Assert.Equal((OwnerCode.Kept, true), (kept.Code, kept.Record!.Removed));
            Assert.Empty(other.Losers);
        }
        else
        {
            other.Mirror(key, record);
            Assert.Equal(OwnerCode.Yes, other.Mirror(key, tombstone).Code);
            Assert.Equal(1ul, Assert.Single(other.Losers).Record.ObjectId);
        }

        Assert.Equal(OwnerCode.Absent, other.Locate(key).Code);
        // It stands where the object stood: what was numbered below that is older, what was above is newer.
        Assert.Equal(OwnerCode.Kept, other.Mirror(key, OwnerWorld.Offer(2) with { Version = Above(3) }).Code);
        Assert.Equal(OwnerCode.Yes, other.Mirror(key, OwnerWorld.Offer(3) with { Version = Above(8) }).Code);
        Assert.Equal(OwnerCode.Yes, other.Locate(key).Code);

        RecordVersion Above(long more) =>
            new(tombstone.Version.Epoch, tombstone.Version.Revision, tombstone.Version.Counter + more);
    }

    [Fact]
    public void A_sweep_forgets_copies_of_holders_that_are_gone()
    {
        var key = _world.KeyAt(0);
        int slot = _world.SlotOf(key);
        _world.Publish(key, OwnerWorld.Offer(1), wanted: 2);
        _world.Publish(key, OwnerWorld.Offer(1, "n2"), wanted: 2);
        Assert.Equal(1, _world.Owner.Sweep(slot, TimeSpan.FromMinutes(1), i => i == OwnerWorld.IncarnationOf("n2")));
        Assert.Equal(OwnerWorld.IncarnationOf("n1"), Assert.Single(_world.Locate(key).Record!.Replicas).Incarnation);
        Assert.Equal(1, _world.Owner.Sweep(slot, TimeSpan.FromMinutes(1), _ => true));
        Assert.Equal(0, _world.Table.CountOf(slot));
    }

    [Fact]
    public void A_located_key_is_kept_from_eviction_once()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(1));
        _world.Locate(key);
        _world.Locate(key, mark: true);
        Assert.Equal(OwnerCode.Kept, _world.Retract(key, 1));
        Assert.Equal(1, _world.Owner.Counters.RefusedRetracts);
        Assert.Equal(OwnerCode.Yes, _world.Locate(key).Code);
        Assert.Equal(OwnerCode.Yes, _world.Retract(key, 1));
        Assert.Equal(OwnerCode.Absent, _world.Locate(key).Code);
        Assert.Equal(1, _world.Owner.Counters.RetractedReplicas);
    }

    [Fact]
    public void A_heat_mark_outlives_the_joining_of_a_copy()
    {
        var key = _world.KeyAt(0);
        var first = _world.Publish(key, OwnerWorld.Offer(1), wanted: 3).Record!;
        _world.Locate(key, mark: true);
        _world.Publish(key, OwnerWorld.Offer(1, "n2"), wanted: 3);
        _world.Mirror(key, OwnerWorld.Offer(1, "n3") with { Version = first.Version });
        Assert.Equal(3, _world.Locate(key).Record!.Replicas.Length);
        Assert.Equal(OwnerCode.Kept, _world.Retract(key, 1));
    }

    [Fact]
    public void A_retract_touches_one_holders_copy_of_one_object()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(1), wanted: 2);
        _world.Publish(key, OwnerWorld.Offer(1, "n2"), wanted: 2);
        Assert.Equal(OwnerCode.Yes, _world.Retract(key, objectId: 9));
        Assert.Equal(2, _world.Locate(key).Record!.Replicas.Length);
        Assert.Equal(OwnerCode.Yes, _world.Retract(key, 1, "n1"));
        Assert.Equal(OwnerWorld.IncarnationOf("n2"), Assert.Single(_world.Locate(key).Record!.Replicas).Incarnation);
        Assert.Equal(OwnerCode.Yes, _world.Retract(_world.KeyAt(0, skip: 1), 1));
    }

    [Fact]
    public void What_a_holder_has_already_dropped_is_taken_note_of_marked_or_not()
    {
        var key = _world.KeyAt(1);
        _world.Mirror(key, OwnerWorld.Offer(1) with { Version = new RecordVersion(1, 10, 1) });
        _world.Locate(key, mark: true);
        Assert.Equal(OwnerCode.Yes, _world.Retract(key, 1, done: true));
        Assert.Equal(0, _world.Table.CountOf(_world.SlotOf(key)));
    }

    [Fact]
    public void Copies_of_holders_outside_the_view_are_hidden_and_come_back_with_them()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(1, "n2"));
        _world.Adopt(OwnerWorld.ViewOf(11, "n1", "n3"));
        _world.States.SetComplete(_world.SlotOf(key), 0, _world.States.Stamp);
        Assert.Equal(OwnerCode.Absent, _world.Locate(key).Code);
        _world.Adopt(OwnerWorld.ViewOf(12, "n1", "n2", "n3"));
        Assert.Equal(OwnerCode.Yes, _world.Locate(key).Code);
        _world.Adopt(OwnerWorld.ViewOf(13, "n1", "n3"));
        var over = _world.Publish(key, OwnerWorld.Offer(2, "n3"));
        Assert.Equal(OwnerCode.Yes, over.Code);
        Assert.Equal(13, over.Record!.Version.Revision);
    }

    [Fact]
    public void An_owner_with_an_older_view_than_a_record_does_not_number_over_it()
    {
        var key = _world.KeyAt(0);
        _world.Mirror(key, OwnerWorld.Offer(1) with { Version = new RecordVersion(1, 99, 1) });
        Assert.Equal(OwnerCode.Unsure, _world.Publish(key, OwnerWorld.Offer(2)).Code);
        Assert.Equal(OwnerCode.Unsure, _world.Remove(key).Code);
        Assert.Equal(1ul, _world.Locate(key).Record!.ObjectId);
        _world.Adopt(OwnerWorld.ViewOf(100, "n1", "n2", "n3"));
        Assert.Equal(OwnerCode.Kept, _world.Publish(key, OwnerWorld.Offer(2)).Code);
        Assert.Equal(OwnerCode.Yes, _world.Remove(key).Code);
    }

    [Fact]
    public void An_offer_without_exactly_one_copy_is_not_taken()
    {
        var key = _world.KeyAt(0);
        var offer = OwnerWorld.Offer(1);
        Assert.Equal(OwnerCode.Unsure, _world.Publish(key, offer with { Replicas = [] }).Code);
        Assert.Equal(OwnerCode.Unsure,
            _world.Publish(key, offer with { Replicas = [offer.Replicas[0], offer.Replicas[0]] }).Code);
        Assert.Equal(OwnerCode.Absent, _world.Locate(key).Code);
        Assert.Equal(0, _world.Owner.Owe(new OweRequest("n2", -1)).Count);
        Assert.Equal(0, _world.Owner.Owe(new OweRequest("n2", OwnerWorld.Slots)).Count);
        Assert.Equal(1, _world.Owner.Owe(new OweRequest("n2", 5)).Count);
        Assert.Equal([("n2", 5)], _world.Debts);
    }
}
