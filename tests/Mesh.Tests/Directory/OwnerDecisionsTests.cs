// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Directory;

/// <summary>What an acting primary decides when a key is replaced, joined, or everything was removed.</summary>
public sealed class OwnerDecisionsTests
{
    [Fact]
    public void A_replacement_takes_the_whole_list_and_names_what_it_replaced()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        world.Publish(key, OwnerWorld.Offer(1, "n1"), wanted: 2);
        world.Publish(key, OwnerWorld.Offer(1, "n2"), wanted: 2);
        var before = world.Locate(key).Record!;
        var items = world.Replace(key, OwnerWorld.Offer(2, "n3"));
        Assert.Equal(2, items.Length);
        Assert.Equal(OwnerCode.Yes, items[0].Code);
        Assert.True(items[0].Record!.Version > before.Version);
        Assert.Equal(OwnerCode.Kept, items[1].Code);
        Assert.Equal(before.Replicas, items[1].Record!.Replicas);
        Assert.Equal(1ul, items[1].Record!.ObjectId);
        var now = world.Locate(key).Record!;
        Assert.Equal(2ul, now.ObjectId);
        Assert.Equal(OwnerWorld.IncarnationOf("n3"), Assert.Single(now.Replicas).Incarnation);
    }

    [Fact]
    public void A_replacement_of_nothing_is_a_put_and_its_retry_meets_itself()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        var first = Assert.Single(world.Replace(key, OwnerWorld.Offer(1)));
        var again = Assert.Single(world.Replace(key, OwnerWorld.Offer(1)));
        Assert.Equal(OwnerCode.Yes, again.Code);
        Assert.Equal(first.Record!.Version, again.Record!.Version);
        var elsewhere = Assert.Single(world.Replace(key, OwnerWorld.Offer(1, "n2")));
        Assert.Equal(OwnerCode.Kept, elsewhere.Code);
        Assert.Equal(1ul, elsewhere.Record!.ObjectId);
    }

    [Fact]
    public void What_came_after_a_replacement_stays_when_that_is_tried_again()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        var first = world.Replace(key, OwnerWorld.Offer(1))[0].Record!;
        var second = world.Replace(key, OwnerWorld.Offer(2, "n2"))[0].Record!;
        // The holder of 1 heard of the second from the backup.
        var kept = Assert.Single(world.Replace(key, OwnerWorld.Offer(1), second.Version, first.Version));
        Assert.Equal((OwnerCode.Kept, 2ul), (kept.Code, kept.Record!.ObjectId));
        world.Remove(key);
        kept = Assert.Single(world.Replace(key, OwnerWorld.Offer(1), second.Version, first.Version));
        Assert.Equal((OwnerCode.Kept, true), (kept.Code, kept.Record!.Removed));
    }

    /// <summary>The other side of a split numbered one object higher, and its caller has read it there.</summary>
    [Fact]
    public void A_removal_is_above_what_its_caller_has_seen()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        var known = world.Publish(key, OwnerWorld.Offer(1)).Record!;
        var seen = known.Version with { Counter = known.Version.Counter + 5 };
        var tombstone = world.Remove(key, seen);
        Assert.Equal(OwnerCode.Yes, tombstone.Code);
        Assert.True(tombstone.Record!.Version > seen);
        // Also where the key has been removed, but not what the caller has seen of it.
        seen = tombstone.Record.Version with { Counter = tombstone.Record.Version.Counter + 5 };
        var again = world.Remove(key, seen);
        Assert.Equal(OwnerCode.Yes, again.Code);
        Assert.True(again.Record!.Version > seen);
        // What was seen in a view that is not known here cannot be numbered above.
        seen = seen with { Revision = seen.Revision + 1 };
        Assert.Equal(OwnerCode.Unsure, world.Remove(key, seen).Code);
    }

    /// <summary>Else whoever asks again after a lost answer would take what is older for newer.</summary>
    [Fact]
    public void A_removal_that_was_done_before_is_told_with_its_version()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        Assert.Null(world.Remove(key).Record);
        world.Publish(key, OwnerWorld.Offer(1));
        var tombstone = world.Remove(key).Record!;
        var again = world.Remove(key);
        Assert.Equal((OwnerCode.Absent, tombstone.Version), (again.Code, again.Record!.Version));
    }

    /// <summary>
    /// An owner that was not complete sent its holder to the others, who know the old object; by now it has that too.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_late_attempt_of_what_was_removed_does_not_replace_what_came_after(bool evicted)
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        Assert.Equal(OwnerCode.Yes, world.Replace(key, OwnerWorld.Offer(1))[0].Code);
        Assert.Equal(OwnerCode.Yes, world.Remove(key).Code);
        Assert.Equal(OwnerCode.Yes, world.Publish(key, OwnerWorld.Offer(2, "n2")).Code);
        if (evicted)
            world.Retract(key, 2, "n2", done: true);
        var late = Assert.Single(world.Replace(key, OwnerWorld.Offer(1, "n3")));
        Assert.Equal(OwnerCode.Kept, late.Code);
        Assert.Equal(evicted ? 1ul : 2ul, late.Record!.ObjectId);
        Assert.Equal(evicted, late.Record.Removed);
        Assert.Equal(evicted ? OwnerCode.Absent : OwnerCode.Yes, world.Locate(key).Code);
    }

    [Fact]
    public void A_replacement_that_nobody_has_accepted_replaces_what_the_holder_heard_of_elsewhere()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        var old = world.Replace(key, OwnerWorld.Offer(1))[0].Record!;
        var items = world.Replace(key, OwnerWorld.Offer(2, "n2"), above: old.Version);
        Assert.Equal([OwnerCode.Yes, OwnerCode.Kept], items.Select(i => i.Code));
        Assert.Equal((2ul, 1ul), (items[0].Record!.ObjectId, items[1].Record!.ObjectId));
        Assert.True(items[0].Record!.Version > old.Version);
    }

    [Fact]
    public void A_replacement_is_numbered_above_what_another_owner_has()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        var mine = world.Replace(key, OwnerWorld.Offer(1))[0].Record!;
        var above = mine.Version with { Counter = mine.Version.Counter + 40 };
        var renumbered = Assert.Single(world.Replace(key, OwnerWorld.Offer(1), above));
        Assert.Equal(OwnerCode.Yes, renumbered.Code);
        Assert.True(renumbered.Record!.Version > above);
        var newerView = above with { Revision = above.Revision + 1 };
        Assert.Equal(OwnerCode.Unsure, Assert.Single(world.Replace(key, OwnerWorld.Offer(1), newerView)).Code);
    }

    [Fact]
    public void Equal_bytes_join_until_there_are_enough_copies()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        var first = world.Publish(key, OwnerWorld.Offer(1, "n1"));
        ObjectRecord Same(string holder) =>
            OwnerWorld.Offer(9, holder) with { Checksum = first.Record!.Checksum };
        Assert.Equal(OwnerCode.Kept, world.Publish(key, Same("n2"), wanted: 1).Code);
        Assert.Equal(OwnerCode.Kept, world.Publish(key, Same("n1"), wanted: 2).Code);
        Assert.Equal(OwnerCode.Kept, world.Publish(key, OwnerWorld.Offer(9, "n2"), wanted: 2).Code);
        Assert.Equal(OwnerCode.Kept, world.Publish(key, Same("n2") with { Size = 99 }, wanted: 2).Code);
        var joined = world.Publish(key, Same("n2"), wanted: 2);
        Assert.Equal(OwnerCode.Yes, joined.Code);
        Assert.Equal((1ul, first.Record!.Version, 2),
            (joined.Record!.ObjectId, joined.Record.Version, joined.Record.Replicas.Length));
        Assert.Equal(OwnerCode.Kept, world.Publish(key, Same("n3"), wanted: 2).Code);
    }

    [Fact]
    public void Without_a_checksum_nothing_is_equal()
    {
        using var world = new OwnerWorld();
        var key = world.KeyAt(0);
        world.Publish(key, OwnerWorld.Offer(1, "n1") with { Checksum = 0 });
        Assert.Equal(OwnerCode.Kept,
            world.Publish(key, OwnerWorld.Offer(2, "n2") with { Checksum = 0 }, wanted: 2).Code);
    }

    [Fact]
    public void Everything_that_was_there_is_forgotten_and_what_comes_later_stays()
    {
        using var world = new OwnerWorld();
        var old = world.KeyAt(0);
        var other = world.KeyAt(0, 1);
        var record = world.Publish(old, OwnerWorld.Offer(1)).Record!;
        Assert.True(world.Table.ClearAll(1));
        Assert.False(world.Table.ClearAll(1));
        Assert.Equal(OwnerCode.Absent, world.Locate(old).Code);
        Assert.Equal(OwnerCode.Kept, world.Mirror(old, record).Code);
        Assert.True(world.Mirror(old, record).Record!.Removed);
        Assert.Equal(OwnerCode.Absent, world.Locate(old).Code);
        var again = world.Publish(old, OwnerWorld.Offer(2));
        Assert.Equal((OwnerCode.Yes, 1L), (again.Code, again.Record!.Cleared));
        Assert.True(again.Record.Version > record.Version);
        world.Publish(other, OwnerWorld.Offer(3));
        Assert.Equal(OwnerCode.Yes, world.Locate(old).Code);
        Assert.Equal(OwnerCode.Yes, world.Locate(other).Code);
    }

    [Fact]
    public void A_record_of_a_removal_of_everything_that_is_not_known_here_waits_and_removes_nothing()
    {
        using var world = new OwnerWorld();
        var old = world.KeyAt(1);
        world.Mirror(old, OwnerWorld.Offer(1) with { Version = new RecordVersion(0, 1, 1) });
        var key = world.KeyAt(1, 1);
        var record = OwnerWorld.Offer(2) with { Version = new RecordVersion(0, 1, 9), Cleared = 7 };
        Assert.Equal(OwnerCode.Unsure, world.Mirror(key, record).Code);
        Assert.Equal(OwnerCode.Unsure, world.Publish(world.KeyAt(0), OwnerWorld.Offer(3) with { Cleared = 7 }).Code);
        Assert.Equal(OwnerCode.Yes, world.Locate(old).Code);

        // The registry's word, not a peer's.
        Assert.True(world.Table.ClearAll(7));
        Assert.Equal(OwnerCode.Unsure, world.Locate(old).Code);
        Assert.Equal(OwnerCode.Yes, world.Mirror(key, record).Code);
        Assert.Equal(OwnerCode.Yes, world.Locate(key).Code);
    }
}
