// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Directory;

public sealed class RingJumpTests : IDisposable
{
    private readonly OwnerWorld _world = new();

    public void Dispose() => _world.Dispose();

    [Fact]
    public void A_join_leaves_every_slot_that_stays_complete()
    {
        _world.Adopt(After(new RingChange(11, "n4", 100)));
        AssertStates(owned: _ => State.Complete, lost: State.Lost);
        Assert.True(_world.States.Count().Lost > 0);
    }

    [Fact]
    public void So_does_the_end_of_a_node()
    {
        _world.Adopt(After(new RingChange(11, "n3", 0)));
        // What comes is new to this node; what was its own stays.
        AssertStates(owned: before => before <= 1 ? State.Complete : State.Incomplete, lost: State.Lost);
    }

    [Fact]
    public void Nodes_that_came_and_went_unseen_leave_only_those_slots_complete_that_they_did_not_get()
    {
        var ghosts = OwnerWorld.ViewOf(12, "n1", "n2", "n3", "n8", "n9");
        _world.Adopt(After(new RingChange(11, "n8", 100), new RingChange(12, "n9", 100), new RingChange(13, "n8", 0),
            new RingChange(14, "n9", 0)));
        int kept = 0, lost = 0;
        for (int slot = 0; slot < OwnerWorld.Slots; slot++)
        {
            if (_world.States.PlaceOf(slot) > 1)
                continue;
            bool owned = ghosts.PlaceOf(slot, "n1") is 0 or 1;
            Assert.Equal(owned, _world.States.IsComplete(slot));
            kept += owned ? 1 : 0;
            lost += owned ? 0 : 1;
        }

        Assert.True(kept > 0 && lost > 0, $"kept {kept}, lost {lost}");
    }

    [Fact]
    public void A_past_that_is_not_known_leaves_nothing_complete()
    {
        _world.Adopt(OwnerWorld.ViewOf(20, ["n1", "n2", "n3"], new RingPast(20, 15, [])));
        Assert.Equal(0, _world.States.Count().Complete);
        Assert.Equal(0, _world.States.Count().Lost);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_doubt_ends_with_what_the_members_say(bool sameRing)
    {
        int complete = _world.States.Count().Complete;
        var before = _world.View;
        _world.Adopt(OwnerWorld.ViewOf(20, ["n1", "n2", "n3"], new RingPast(20, 15, [])));
        // A second view meanwhile: what counts is the one before the first.
        _world.Adopt(OwnerWorld.ViewOf(21, ["n1", "n2", "n3"], new RingPast(21, 15, [])));
        Assert.Equal(before, _world.States.Doubt);
        Assert.Equal(OwnerCode.Unsure, _world.Locate(_world.KeyAt(0)).Code);
        _world.States.Settle(before, sameRing ? RingSince.Same : RingSince.Unknown);
        Assert.Null(_world.States.Doubt);
        Assert.Equal(sameRing ? complete : 0, _world.States.Count().Complete);
    }

    [Fact]
    public void A_doubt_that_another_ring_overtakes_leaves_nothing_complete()
    {
        var before = _world.View;
        _world.Adopt(OwnerWorld.ViewOf(20, ["n1", "n2", "n3"], new RingPast(20, 15, [])));
        _world.Adopt(OwnerWorld.ViewOf(21, ["n1", "n2", "n3", "n4"],
            new RingPast(21, 15, [new RingChange(21, "n4", 100)])));
        Assert.Null(_world.States.Doubt);
        _world.States.Settle(before, RingSince.Same);
        Assert.Equal(0, _world.States.Count().Complete);
        Assert.Equal(0, _world.States.Count().Lost);
    }

    [Fact]
    public void An_own_absence_leaves_nothing_complete()
    {
        _world.Adopt(After(new RingChange(11, "n1", 0), new RingChange(12, "n1", 100)));
        Assert.Equal(0, _world.States.Count().Complete);
        Assert.Equal(0, _world.States.Count().Lost);
    }

    [Fact]
    public void An_own_share_that_grows_brings_incomplete_slots_and_keeps_the_others()
    {
        var heavier = new NodeRecord { NodeId = "n1", Incarnation = 49, Ring = new RingShare { Weight = 1000 } };
        _world.Adopt(new MeshView(_world.View.Config, 11, [heavier, .. _world.View.Members.Skip(1)], null,
            new RingPast(11, 10, [new RingChange(11, "n1", 1000)])));
        AssertStates(owned: before => before <= 1 ? State.Complete : State.Incomplete, lost: State.Lost);
    }

    [Fact]
    public void Another_epoch_leaves_nothing_complete()
    {
        _world.Adopt(new MeshView(_world.View.Config with { Epoch = 2 }, 11, _world.View.Members, null,
            new RingPast(11, 10, [])));
        Assert.Equal(0, _world.States.Count().Complete);
    }

    [Fact]
    public void A_lost_slot_is_no_source_any_more_once_its_owners_change()
    {
        _world.Adopt(After(new RingChange(11, "n4", 100)));
        int[] lost = [.. Enumerable.Range(0, OwnerWorld.Slots).Where(_world.States.IsLost)];
        var view = _world.View;
        _world.Adopt(After(new RingChange(12, "n5", 100)));
        foreach (int slot in lost)
        {
            bool same = view.Owner(slot, 0)!.NodeId == _world.View.Owner(slot, 0)!.NodeId
                && view.Owner(slot, 1)!.NodeId == _world.View.Owner(slot, 1)!.NodeId;
            Assert.Equal(same, _world.States.IsLost(slot));
        }

        Assert.Contains(lost, slot => !_world.States.IsLost(slot));
        Assert.Contains(lost, _world.States.IsLost);
    }

    [Fact]
    public void Nor_once_one_of_them_has_a_new_life()
    {
        _world.Adopt(After(new RingChange(11, "n4", 100)));
        int slot = Enumerable.Range(0, OwnerWorld.Slots).First(_world.States.IsLost);
        string owner = _world.View.Owner(slot, 1)!.NodeId;
        _world.Adopt(new MeshView(_world.View.Config, 12,
            _world.View.Members.Select(m => m.NodeId == owner ? m with { Incarnation = 999 } : m), null,
            new RingPast(12, 11, [])));
        Assert.False(_world.States.IsLost(slot));
    }

    [Fact]
    public void Whoever_lost_a_slot_while_a_third_may_have_decided_is_no_source()
    {
        // n8 and n9 owned some slots before n4 and n5, to whom this node would hand over what it knows.
        _world.Adopt(After(new RingChange(11, "n8", 100), new RingChange(12, "n9", 100), new RingChange(13, "n4", 100),
            new RingChange(14, "n8", 0), new RingChange(15, "n9", 0), new RingChange(16, "n5", 100)));
        Assert.Equal(0, _world.States.Count().Lost);
    }

    [Fact]
    public void An_owner_that_acted_in_the_third_place_is_not_complete_in_the_next_view()
    {
        var key = _world.KeyAt(2);
        int slot = _world.SlotOf(key);
        Assert.True(_world.States.IsComplete(slot));
        _world.Adopt(After(new RingChange(11, "n4", 0)));
        Assert.False(_world.States.IsComplete(slot));
        Assert.False(_world.States.IsLost(slot));
    }

    [Fact]
    public void A_past_keeps_its_last_changes_and_says_since_when()
    {
        var changes = Enumerable.Range(1, 100).Select(i => new RingChange(i, "n1", i)).ToList();
        var past = new RingPast(100, 0, changes);
        Assert.Equal(RingPast.MostChanges, past.Changes.Count);
        Assert.Null(past.After(new RingPast(past.Since - 1, 0, [])));
        Assert.Equal(RingPast.MostChanges, past.After(new RingPast(past.Since, 0, []))!.Count);
        Assert.Equal(3, past.After(new RingPast(97, 0, []))!.Count);
    }

    private enum State
    {
        Incomplete,
        Complete,
        Lost,
    }

    /// <summary>The view after these changes, seen one by one by whoever tells of it.</summary>
    private MeshView After(params RingChange[] changes)
    {
        var members = _world.View.Members.Select(m => m.NodeId).ToHashSet();
        foreach (var change in changes)
        {
            if (change.Weight > 0)
                members.Add(change.NodeId);
            else
                members.Remove(change.NodeId);
        }

        long revision = changes[^1].Revision;
        return OwnerWorld.ViewOf(revision, [.. members], new RingPast(revision, 10, changes));
    }

    private readonly byte[] _before = new byte[OwnerWorld.Slots];

    /// <summary>Every owned slot is as its place before says; every other one that was owned is lost.</summary>
    private void AssertStates(Func<byte, State> owned, State lost)
    {
        var first = OwnerWorld.ViewOf(10, "n1", "n2", "n3");
        for (int slot = 0; slot < OwnerWorld.Slots; slot++)
        {
            _before[slot] = (byte)first.PlaceOf(slot, "n1");
            var expected = _world.States.PlaceOf(slot) <= 1 ? owned(_before[slot])
                : _before[slot] <= 1 ? lost
                : State.Incomplete;
            Assert.Equal(expected == State.Complete, _world.States.IsComplete(slot));
            Assert.Equal(expected == State.Lost, _world.States.IsLost(slot));
        }
    }
}
