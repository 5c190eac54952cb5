// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Directory;

public sealed class GoneHoldersTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly ulong N2 = OwnerWorld.IncarnationOf("n2");

    private readonly ManualTimeProvider _time = new();
    private readonly GoneHolders _gone;
    private MeshView _view = OwnerWorld.ViewOf(1, "n1", "n2", "n3");

    public GoneHoldersTests() => _gone = new GoneHolders(_time, Patience);

    [Fact]
    public void A_holder_is_gone_once_it_has_been_missing_for_the_whole_time_and_not_before()
    {
        Assert.False(_gone.IsGone(N2, _view));
        Adopt("n1", "n3");
        _time.Advance(Patience);
        Assert.False(_gone.IsGone(N2, _view));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(_gone.IsGone(N2, _view));
        Assert.False(_gone.IsGone(OwnerWorld.IncarnationOf("n3"), _view));
    }

    [Fact]
    public void The_time_begins_when_it_leaves_the_view_not_when_somebody_asks()
    {
        Adopt("n1", "n3");
        _time.Advance(Patience + TimeSpan.FromSeconds(1));
        Assert.True(_gone.IsGone(N2, _view));
    }

    [Fact]
    public void One_that_returns_starts_anew()
    {
        Adopt("n1", "n3");
        _time.Advance(Patience + TimeSpan.FromSeconds(1));
        Adopt("n1", "n2", "n3");
        Assert.False(_gone.IsGone(N2, _view));
        Adopt("n1", "n3");
        Assert.False(_gone.IsGone(N2, _view));
        _time.Advance(Patience + TimeSpan.FromSeconds(1));
        Assert.True(_gone.IsGone(N2, _view));
    }

    [Fact]
    public void One_that_was_never_a_member_is_missed_from_the_first_question_on()
    {
        Assert.False(_gone.IsGone(77, _view));
        _time.Advance(Patience + TimeSpan.FromSeconds(1));
        Assert.True(_gone.IsGone(77, _view));
    }

    [Fact]
    public void What_is_remembered_is_bounded_and_forgetting_only_costs_time()
    {
        for (ulong i = 1000; i < 11_000; i++)
            Assert.False(_gone.IsGone(i, _view));
        _time.Advance(Patience + TimeSpan.FromSeconds(1));
        Assert.False(_gone.IsGone(1000, _view));
        Assert.True(_gone.IsGone(10_999, _view));
    }

    private void Adopt(params string[] nodes)
    {
        var next = OwnerWorld.ViewOf(_view.Id.Revision + 1, nodes);
        _gone.Adopt(_view, next);
        _view = next;
    }
}
