// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Membership;

public sealed class RingPastTests
{
    [Fact]
    public void A_node_that_follows_the_watch_knows_every_change()
    {
        var cluster = MembershipCluster.Started(2);
        var before = cluster.Nodes[0].View.Past;
        Assert.Null(cluster.Start("n3").Result.Error);
        cluster.World.Run(() => cluster.Nodes[2].Service.UpdateAsync(
            self => self with { Ring = self.Ring with { Weight = 7 } }, CancellationToken.None));
        cluster.World.Run(() => cluster.Nodes[2].Service.StopAsync(CancellationToken.None));
        cluster.Nodes[2].Gone = true;
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        cluster.AssertSettled(2);
        Assert.Equal([("n3", 100), ("n3", 7), ("n3", 0)], ChangesSince(cluster.Nodes[0].View, before));
    }

    [Fact]
    public void A_label_or_a_new_session_is_no_change_of_the_ring()
    {
        var cluster = MembershipCluster.Started(2);
        var before = cluster.Nodes[0].View;
        cluster.World.Run(() => cluster.Nodes[1].Service.UpdateAsync(
            self => self with { Labels = new Dictionary<string, string> { ["zone"] = "a" } }, CancellationToken.None));
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        Assert.True(cluster.Nodes[0].View.Id.IsNewerThan(before.Id));
        Assert.Empty(ChangesSince(cluster.Nodes[0].View, before.Past)!);
    }

    [Fact]
    public void Quiet_listings_lose_nothing_of_it()
    {
        var cluster = MembershipCluster.Started(2);
        var before = cluster.Nodes[0].View.Past;
        cluster.World.Advance(TimeSpan.FromMinutes(10));
        Assert.True(cluster.Nodes[0].Service.Status.Relists > 15);
        Assert.Null(cluster.Start("n3").Result.Error);
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([("n3", 100)], ChangesSince(cluster.Nodes[0].View, before));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Nodes_that_come_and_go_while_one_is_cut_off_are_known_to_it_afterwards(bool broken)
    {
        var cluster = MembershipCluster.Started(2);
        var before = cluster.Nodes[0].View;
        cluster.Nodes[0].Registry.SetFault(broken ? EmbeddedFault.Cut : EmbeddedFault.Hung);
        for (int i = 8; i <= 9; i++)
            Assert.Null(cluster.Start($"n{i}").Result.Error);
        for (int i = 2; i <= 3; i++)
        {
            cluster.World.Run(() => cluster.Nodes[i].Service.StopAsync(CancellationToken.None));
            cluster.Nodes[i].Gone = true;
        }

        cluster.Nodes[0].Registry.SetFault(EmbeddedFault.None);
        cluster.World.Advance(TimeSpan.FromSeconds(2));
        cluster.AssertSettled(2);
        var view = cluster.Nodes[0].View;
        // No listing shows them; a view of the same members under a later revision does.
        Assert.Equal(before.Id.Digest, view.Id.Digest);
        Assert.True(view.Id.IsNewerThan(before.Id));
        Assert.Equal([("n8", 100), ("n9", 100), ("n8", 0), ("n9", 0)], ChangesSince(view, before.Past));
    }

    [Fact]
    public void What_only_a_listing_shows_is_a_gap()
    {
        var cluster = MembershipCluster.Started(2);
        var before = cluster.Nodes[0].View.Past;
        cluster.Nodes[0].Registry.SetFault(EmbeddedFault.Cut);
        Assert.Null(cluster.Start("n3").Result.Error);
        cluster.Nodes[0].Registry.SetFault(EmbeddedFault.None);
        cluster.World.Advance(TimeSpan.FromSeconds(2));
        cluster.AssertSettled(3);
        Assert.Null(ChangesSince(cluster.Nodes[0].View, before));
        // The next change follows without one.
        var gap = cluster.Nodes[0].View.Past;
        Assert.Null(cluster.Start("n4").Result.Error);
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([("n4", 100)], ChangesSince(cluster.Nodes[0].View, gap));
    }

    private static IEnumerable<(string, int)>? ChangesSince(MeshView view, RingPast before) =>
        view.Past.After(before)?.Select(change => (change.NodeId, change.Weight));
}
