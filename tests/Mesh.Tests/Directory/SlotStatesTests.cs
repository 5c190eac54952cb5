// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Directory;

/// <summary>Whether a slot stays complete while a member that may act for it is not heard.</summary>
public sealed class SlotStatesTests
{
    private static readonly string[] Five = ["n1", "n2", "n3", "n4", "n5"];
    private readonly SlotStates _states = new("n1", OwnerWorld.Slots);

    public SlotStatesTests()
    {
        _states.Adopt(MeshView.Empty, OwnerWorld.ViewOf(10, Five));
        Complete();
    }

    [Fact]
    public void In_a_view_without_the_one_that_vouched_a_slot_that_a_silent_member_may_act_for_is_doubted()
    {
        _states.Missed.Note("n4");
        _states.SuspendShared("n4", gone: false, at: 1);
        // n2 hears n4, and vouches.
        Complete();
        Assert.All(Owned(), slot => Assert.True(_states.MayDeny(slot)));
        var stays = Owned();
        var next = OwnerWorld.ViewOf(11, "n1", "n3", "n4", "n5");
        long stamp = _states.Stamp;
        _states.Adopt(_states.Current.View, next);
        stays.RemoveAll(slot => !_states.Owns(slot));
        var shared = stays.FindAll(slot => next.PlaceOf(slot, "n4") >= 0);
        Assert.NotEmpty(shared);
        Assert.All(shared, slot => Assert.False(_states.MayDeny(slot)));
        Assert.All(shared, slot => Assert.True(_states.IsDoubted(slot)));
        Assert.True(_states.Stamp > stamp);
    }

    [Fact]
    public void A_view_in_which_everybody_is_heard_leaves_slots_complete()
    {
        var stays = Owned();
        _states.Adopt(_states.Current.View, OwnerWorld.ViewOf(11, "n1", "n3", "n4", "n5"));
        stays.RemoveAll(slot => !_states.Owns(slot));
        Assert.NotEmpty(stays);
        Assert.All(stays, slot => Assert.True(_states.MayDeny(slot)));
    }

    [Fact]
    public void When_an_owner_is_gone_slots_that_a_silent_member_may_act_for_are_suspended_and_no_others()
    {
        var view = _states.Current.View;
        _states.SuspendShared("n2", gone: true, at: 1);
        Assert.All(Owned(), slot => Assert.True(_states.MayDeny(slot)));
        _states.Missed.Note("n4");
        _states.SuspendShared("n4", gone: false, at: 2);
        Complete();
        _states.SuspendShared("n2", gone: true, at: 3);
        var both = Owned().FindAll(slot => view.PlaceOf(slot, "n2") >= 0 && view.PlaceOf(slot, "n4") >= 0);
        Assert.NotEmpty(both);
        Assert.All(Owned(), slot => Assert.Equal(both.Contains(slot), _states.IsSuspended(slot)));
        Assert.All(both, slot => Assert.False(_states.MayDeny(slot)));
    }

    private List<int> Owned() => [.. Enumerable.Range(0, OwnerWorld.Slots).Where(_states.Owns)];

    private void Complete()
    {
        foreach (int slot in Owned())
            Assert.True(_states.SetComplete(slot, _states.PlaceOf(slot), _states.Stamp));
    }
}
