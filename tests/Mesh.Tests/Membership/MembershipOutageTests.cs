// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Membership;

public sealed class MembershipOutageTests
{
    private static readonly TimeSpan Ttl = MembershipCluster.Ttl;

    [Theory]
    [InlineData(EmbeddedFault.Cut, 1)]
    [InlineData(EmbeddedFault.Cut, 30)]
    [InlineData(EmbeddedFault.Cut, 300)]
    [InlineData(EmbeddedFault.Hung, 1)]
    [InlineData(EmbeddedFault.Hung, 30)]
    [InlineData(EmbeddedFault.Hung, 300)]
    public void The_view_freezes_while_the_registry_is_away(EmbeddedFault fault, int seconds)
    {
        var cluster = MembershipCluster.Started(3);
        var frozen = cluster.Nodes[0].View.Id;
        cluster.FaultAll(fault);
        cluster.World.Advance(TimeSpan.FromSeconds(seconds));
        Assert.All(cluster.Nodes, n => Assert.Equal(frozen, n.View.Id));
        if (seconds > 5)
            Assert.All(cluster.Nodes, n => Assert.True(n.Service.Status.Degraded));
        Assert.InRange(cluster.Log.Lines, 0, 3 * (seconds + 1));
        cluster.FaultAll(EmbeddedFault.None);
        cluster.AssertSettlesWithin(3, Ttl * 2);
        cluster.World.Advance(Ttl * 4);
        cluster.AssertSettled(3);
        Assert.All(cluster.Nodes, n => Assert.All(n.Views.Skip(2), v => Assert.Equal(3, v.Members.Count(
            m => m.NodeId is "n1" or "n2" or "n3"))));
    }

    [Fact]
    public void A_short_outage_keeps_the_leases()
    {
        var cluster = MembershipCluster.Started(3);
        cluster.FaultAll(EmbeddedFault.Cut);
        cluster.World.Advance(TimeSpan.FromSeconds(2));
        cluster.FaultAll(EmbeddedFault.None);
        cluster.World.Advance(Ttl * 3);
        cluster.AssertSettled(3);
        Assert.All(cluster.Nodes, n => Assert.Equal(0, n.Service.Status.Reregistrations));
    }

    [Fact]
    public void A_stopped_store_that_ends_all_leases_is_no_mass_death()
    {
        var cluster = MembershipCluster.Started(3);
        int views = cluster.Nodes[0].Views.Count;
        cluster.Store.SetFrozen(true);
        cluster.World.Advance(Ttl * 3);
        cluster.Store.SetFrozen(false);
        cluster.AssertSettlesWithin(3, Ttl * 2);
        Assert.All(cluster.Nodes, n => Assert.NotEqual(0, n.Service.Status.Reregistrations));
        Assert.All(cluster.Nodes[0].Views.Skip(views), v => Assert.Equal(3, v.Members.Count));
    }

    [Fact]
    public void A_member_that_does_not_come_back_stays_for_two_ttls_and_then_goes()
    {
        var cluster = MembershipCluster.Started(3);
        cluster.FaultAll(EmbeddedFault.Cut);
        cluster.Nodes[2].Kill();
        cluster.World.Advance(Ttl * 3);
        cluster.FaultAll(EmbeddedFault.None);
        var back = cluster.World.Time.Elapsed;
        cluster.World.Advance(Ttl * 2 - TimeSpan.FromSeconds(1));
        Assert.All(cluster.Living, n => Assert.Equal(3, n.View.Members.Count));
        Assert.All(cluster.Living, n => Assert.True(n.Service.Status.AddOnly));
        cluster.World.Advance(TimeSpan.FromSeconds(4));
        cluster.AssertSettled(2);
        Assert.All(cluster.Living, n => Assert.False(n.Service.Status.AddOnly));
        Assert.InRange(cluster.World.Time.Elapsed - back, Ttl * 2, (Ttl * 2) + TimeSpan.FromSeconds(4));
    }

    [Fact]
    public void New_members_are_taken_during_the_add_only_window()
    {
        var cluster = MembershipCluster.Started(2);
        cluster.FaultAll(EmbeddedFault.Cut);
        cluster.Nodes[1].Kill();
        cluster.World.Advance(Ttl * 2);
        cluster.FaultAll(EmbeddedFault.None);
        cluster.World.Advance(TimeSpan.FromSeconds(3));
        Assert.Null(cluster.Start("n3").Result.Error);
        cluster.World.Pump();
        Assert.Equal(["n1", "n2", "n3"], cluster.Nodes[0].View.Members.Select(m => m.NodeId));
        cluster.World.Advance(Ttl * 2);
        cluster.AssertSettled(2);
    }

    [Fact]
    public void One_node_cut_off_comes_back()
    {
        var cluster = MembershipCluster.Started(3);
        cluster.Nodes[0].Registry.SetFault(EmbeddedFault.Cut);
        cluster.World.Advance(Ttl * 2);
        Assert.Equal(3, cluster.Nodes[0].View.Members.Count);
        Assert.Equal(2, cluster.Nodes[1].View.Members.Count);
        cluster.Nodes[0].Registry.SetFault(EmbeddedFault.None);
        cluster.AssertSettlesWithin(3, Ttl * 2);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(40)]
    public void A_wiped_registry_gets_the_running_mesh_back(int outageSeconds)
    {
        var cluster = MembershipCluster.Started(3);
        var before = cluster.Nodes[0].View;
        cluster.FaultAll(EmbeddedFault.Cut);
        cluster.World.Advance(TimeSpan.FromSeconds(outageSeconds));
        cluster.Store.Wipe();
        cluster.FaultAll(EmbeddedFault.None);
        cluster.AssertReachesEpoch(2, 3, Ttl * 2);
        AssertContinues(cluster, before, 2);
        Assert.All(cluster.Nodes, n => Assert.All(n.Views.Skip(2), v => Assert.Equal(3, v.Members.Count)));
        cluster.World.Advance(Ttl * 4);
        cluster.AssertSettled(3);
    }

    [Fact]
    public void A_wiped_registry_that_a_new_node_reached_first_is_taken_back()
    {
        var cluster = MembershipCluster.Started(3);
        var before = cluster.Nodes[0].View;
        cluster.FaultAll(EmbeddedFault.Cut);
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        cluster.Store.Wipe();
        var (fresh, result) = cluster.Start("n4");
        Assert.Null(result.Error);
        Assert.NotEqual(before.Config.MeshId, fresh.View.Config.MeshId);
        cluster.FaultAll(EmbeddedFault.None);
        cluster.AssertReachesEpoch(2, 4, Ttl * 2);
        AssertContinues(cluster, before, 2);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(60)]
    public void A_registry_restored_from_an_old_snapshot_continues_the_running_mesh(int outageSeconds)
    {
        var cluster = MembershipCluster.Started(2);
        var snapshot = cluster.Store.Snapshot();
        Assert.Null(cluster.Start("n3").Result.Error);
        cluster.World.Run(() => cluster.Nodes[0].Service.UpdateAsync(
            self => self with { Ring = new RingShare { Weight = 50 } }, CancellationToken.None));
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        var before = cluster.Nodes[0].View;
        cluster.FaultAll(EmbeddedFault.Cut);
        cluster.World.Advance(TimeSpan.FromSeconds(outageSeconds));
        cluster.Store.Restore(snapshot);
        cluster.FaultAll(EmbeddedFault.None);
        cluster.AssertReachesEpoch(2, 3, Ttl * 2);
        AssertContinues(cluster, before, 2);
        Assert.Equal(50, cluster.Nodes[1].View.Find("n1")!.Ring.Weight);
    }

    [Fact]
    public void A_registry_restored_from_another_meshs_snapshot_continues_the_running_mesh()
    {
        var cluster = MembershipCluster.Started(2);
        var before = cluster.Nodes[0].View;
        var other = new MeshConfig { MeshId = 4711, Epoch = 9, Slots = 1024 };
        cluster.Store.Restore(new EmbeddedSnapshot(500, [new RegistryEntry("config", other.ToJson(), 0, 400)], []));
        cluster.AssertReachesEpoch(10, 2, Ttl * 2);
        AssertContinues(cluster, before, 10);
        Assert.Equal(256, cluster.Nodes[0].View.Config.Slots);
        Assert.Equal([4711ul], cluster.Nodes[0].View.Config.Replaces);
    }

    [Fact]
    public void Wiped_twice_the_epoch_rises_twice()
    {
        var cluster = MembershipCluster.Started(3);
        var before = cluster.Nodes[0].View;
        for (int epoch = 2; epoch <= 3; epoch++)
        {
            cluster.Store.Wipe();
            cluster.AssertReachesEpoch(epoch, 3, Ttl * 2);
            AssertContinues(cluster, before, epoch);
        }
    }

    [Fact]
    public void A_compacted_watch_lists_again()
    {
        var cluster = MembershipCluster.Started(2);
        cluster.Nodes[0].Registry.SetFault(EmbeddedFault.Cut);
        Assert.Null(cluster.Start("n3").Result.Error);
        cluster.Store.Put("cleared/x", "3"u8.ToArray());
        cluster.Store.Compact(cluster.Store.Revision);
        cluster.Nodes[0].Registry.SetFault(EmbeddedFault.None);
        cluster.AssertSettlesWithin(3, TimeSpan.FromSeconds(3));
        Assert.Single(cluster.Nodes.Select(n => n.View.Id).Distinct());
    }

    [Fact]
    public void Broken_watches_lose_nothing()
    {
        var cluster = MembershipCluster.Started(3);
        for (int i = 0; i < 20; i++)
        {
            cluster.Store.BreakWatches();
            cluster.Store.ExpireLease(cluster.Nodes[i % 3].Service.Status.Lease);
            cluster.World.Advance(TimeSpan.FromMilliseconds(700));
        }

        cluster.AssertSettlesWithin(3, Ttl * 2);
        cluster.World.Advance(Ttl * 4);
        cluster.AssertSettled(3);
        Assert.All(cluster.Nodes, n => Assert.NotEqual(0, n.Service.Status.WatchEnds));
    }

    [Fact]
    public void Removal_counters_survive_a_wipe()
    {
        var cluster = MembershipCluster.Started(2);
        cluster.Store.Put("cleared/default", "7"u8.ToArray());
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        cluster.Store.Wipe();
        cluster.AssertSettlesWithin(2, Ttl * 2);
        cluster.World.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal("7"u8.ToArray(), cluster.Store.Read().Entries.Single(e => e.Key == "cleared/default").Value);
    }

    [Fact]
    public void A_registration_taken_over_while_away_is_not_fought_for()
    {
        var cluster = MembershipCluster.Started(2);
        var old = cluster.Nodes[0];
        old.Registry.SetFault(EmbeddedFault.Cut);
        cluster.World.Advance(Ttl * 2);
        var (_, result) = cluster.Start("n1");
        Assert.Null(result.Error);
        old.Registry.SetFault(EmbeddedFault.None);
        cluster.World.Advance(Ttl * 3);
        Assert.False(old.Service.Status.Registered);
        Assert.Contains("'n1' is in use", old.Service.Status.Reason, StringComparison.Ordinal);
        old.Kill();
        cluster.World.Advance(Ttl * 2);
        cluster.AssertSettled(2);
    }

    private static void AssertContinues(MembershipCluster cluster, MeshView before, long epoch)
    {
        Assert.All(cluster.Living, n => Assert.Equal(before.Config.MeshId, n.View.Config.MeshId));
        Assert.All(cluster.Living, n => Assert.Equal(epoch, n.View.Id.Epoch));
        var stored = MeshConfig.FromJson(cluster.Store.Read().Entries.Single(e => e.Key == "config").Value)!;
        Assert.Equal(before.Config.MeshId, stored.MeshId);
        Assert.Equal(epoch, stored.Epoch);
    }
}
