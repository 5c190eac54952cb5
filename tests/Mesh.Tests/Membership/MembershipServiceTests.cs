// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Membership;

public sealed class MembershipServiceTests
{
    private static readonly TimeSpan Ttl = MembershipCluster.Ttl;

    [Fact]
    public void Three_nodes_register_and_see_one_view()
    {
        var cluster = MembershipCluster.Started(3);
        var entries = cluster.Store.Read().Entries;
        Assert.Equal(["config", "nodes/n1", "nodes/n2", "nodes/n3"], entries.Select(e => e.Key));
        Assert.All(entries.Skip(1), e => Assert.NotEqual(0, e.Lease));
        Assert.Equal(0, entries[0].Lease);
        Assert.Equal(256, MeshConfig.FromJson(entries[0].Value)!.Slots);
        Assert.Single(cluster.Nodes.Select(n => n.View.Id).Distinct());
        Assert.Equal(entries[^1].ModRevision, cluster.Nodes[0].View.Id.Revision);
        Assert.All(cluster.Nodes, n => Assert.Same(n.View, n.Views[^1]));
    }

    [Fact]
    public void A_quiet_mesh_keeps_its_view_and_its_leases()
    {
        var cluster = MembershipCluster.Started(3);
        var id = cluster.Nodes[0].View.Id;
        cluster.World.Advance(TimeSpan.FromMinutes(10));
        cluster.AssertSettled(3);
        Assert.Equal(id, cluster.Nodes[0].View.Id);
        Assert.All(cluster.Nodes, n => Assert.Equal(0, n.Service.Status.Reregistrations));
        Assert.All(cluster.Nodes, n => Assert.InRange(n.Service.Status.Relists, 19, 24));
        Assert.Equal(0, cluster.Log.Lines);
    }

    [Fact]
    public void A_living_node_id_is_refused_and_named()
    {
        var cluster = MembershipCluster.Started(2);
        var (_, result) = cluster.Start("n1");
        Assert.Equal(MeshErrorCode.NodeIdInUse, result.Error!.Code);
        Assert.Contains("'n1'", result.Error.Message, StringComparison.Ordinal);
        cluster.World.Advance(Ttl * 3);
        cluster.AssertSettled(2);
    }

    [Fact]
    public void A_node_that_waits_takes_the_id_when_the_other_dies()
    {
        var cluster = MembershipCluster.Started(2);
        var waiting = cluster.Make("n1", new MembershipOptions { WaitForNodeId = true });
        waiting.Gone = true;
        var start = Task.CompletedTask as Task;
        start = cluster.World.Runtime.Start(() => waiting.StartAsync());
        cluster.World.Advance(Ttl * 4);
        Assert.False(start.IsCompleted);
        cluster.Nodes[0].Kill();
        cluster.World.Advance(Ttl + TimeSpan.FromSeconds(2));
        Assert.True(start.IsCompletedSuccessfully);
        waiting.Gone = false;
        cluster.AssertSettled(2);
        Assert.Equal(waiting.Incarnation, cluster.Nodes[1].View.Find("n1")!.Incarnation);
    }

    [Fact]
    public void A_waiting_start_ends_when_cancelled()
    {
        var cluster = MembershipCluster.Started(1);
        var waiting = cluster.Make("n1", new MembershipOptions { WaitForNodeId = true });
        using var cancel = new CancellationTokenSource(TimeSpan.FromSeconds(30), cluster.World.Time);
        var result = cluster.World.Run(() => waiting.StartAsync(cancel.Token));
        Assert.Equal(MeshErrorCode.Cancelled, result.Error!.Code);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_retry_sees_its_own_first_attempt(int lostAnswers)
    {
        var cluster = MembershipCluster.Started(1);
        var node = cluster.Make("n2");
        node.Registry.LoseAnswers(lostAnswers);
        Assert.Null(cluster.World.Run(() => node.StartAsync()).Error);
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        cluster.AssertSettled(2);
    }

    [Fact]
    public void A_registry_that_is_away_at_start_is_an_error_within_the_timeout()
    {
        var cluster = new MembershipCluster();
        var node = cluster.Make("n1");
        node.Registry.SetFault(EmbeddedFault.Hung);
        var before = cluster.World.Time.Elapsed;
        var result = cluster.World.Run(() => node.StartAsync());
        Assert.Equal(MeshErrorCode.Registry, result.Error!.Code);
        Assert.InRange(cluster.World.Time.Elapsed - before, TimeSpan.FromSeconds(9), TimeSpan.FromSeconds(14));
    }

    [Fact]
    public void Stop_revokes_and_the_others_see_it_at_once()
    {
        var cluster = MembershipCluster.Started(3);
        cluster.World.Run(() => cluster.Nodes[2].Service.StopAsync(CancellationToken.None));
        cluster.Nodes[2].Gone = true;
        cluster.World.Pump();
        cluster.AssertSettled(2);
    }

    [Fact]
    public void A_killed_node_leaves_the_view_after_its_lease()
    {
        var cluster = MembershipCluster.Started(3);
        cluster.Nodes[2].Kill();
        cluster.World.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(3, cluster.Nodes[0].View.Members.Count);
        cluster.World.Advance(TimeSpan.FromSeconds(6));
        cluster.AssertSettled(2);
    }

    [Fact]
    public void An_expired_lease_is_followed_by_a_new_registration_with_the_same_incarnation()
    {
        var cluster = MembershipCluster.Started(3);
        long old = cluster.Nodes[1].Service.Status.Lease;
        Assert.True(cluster.Store.ExpireLease(old));
        cluster.AssertSettlesWithin(3, TimeSpan.FromSeconds(1));
        Assert.NotEqual(old, cluster.Nodes[1].Service.Status.Lease);
        Assert.Equal(1, cluster.Nodes[1].Service.Status.Reregistrations);
        Assert.Equal(cluster.Nodes[1].Service.Self.Session, cluster.Nodes[0].View.Find("n2")!.Session);
    }

    [Fact]
    public void A_deleted_record_is_written_again_under_a_new_lease()
    {
        var cluster = MembershipCluster.Started(3);
        cluster.Store.Delete("nodes/n2");
        cluster.AssertSettlesWithin(3, TimeSpan.FromSeconds(1));
    }

    [Fact]
    public void Updates_reach_every_node()
    {
        var cluster = MembershipCluster.Started(3);
        var result = cluster.World.Run(() => cluster.Nodes[0].Service.UpdateAsync(
            self => self with { Ring = new RingShare { Weight = 7, Leaving = true } }, CancellationToken.None));
        Assert.True(result.Value);
        cluster.World.Pump();
        cluster.AssertSettled(3);
        Assert.All(cluster.Nodes, n => Assert.Equal(7, n.View.Find("n1")!.Ring.Weight));
        Assert.All(cluster.Nodes, n => Assert.True(n.View.Find("n1")!.Ring.Leaving));
    }

    [Fact]
    public void An_update_during_an_outage_is_written_after_it()
    {
        var cluster = MembershipCluster.Started(2);
        cluster.FaultAll(EmbeddedFault.Cut);
        var result = cluster.World.Run(() => cluster.Nodes[0].Service.UpdateAsync(
            self => self with { Ring = new RingShare { Weight = 7 } }, CancellationToken.None));
        Assert.Equal(MeshErrorCode.Registry, result.Error!.Code);
        cluster.FaultAll(EmbeddedFault.None);
        cluster.AssertSettlesWithin(2, Ttl * 2);
        Assert.Equal(7, cluster.Nodes[1].View.Find("n1")!.Ring.Weight);
    }

    [Fact]
    public void A_full_registry_is_said_and_heals()
    {
        var cluster = MembershipCluster.Started(2);
        cluster.Store.SetNoSpace(true);
        cluster.Store.ExpireLease(cluster.Nodes[0].Service.Status.Lease);
        cluster.World.Advance(TimeSpan.FromSeconds(5));
        var status = cluster.Nodes[0].Service.Status;
        Assert.True(status.Degraded);
        Assert.Equal(RegistryFailure.NoSpace, status.Failure);
        Assert.False(status.Registered);
        cluster.Store.SetNoSpace(false);
        cluster.AssertSettlesWithin(2, TimeSpan.FromSeconds(3));
    }

    [Fact]
    public void Records_nobody_can_read_do_not_break_the_view()
    {
        var cluster = MembershipCluster.Started(2);
        cluster.Store.Put("nodes/bad", "{"u8.ToArray());
        cluster.Store.Put("nodes/liar", new NodeRecord { NodeId = "n1", Incarnation = 9 }.ToJson());
        cluster.Store.Put("nodes/huge", Encoding.UTF8.GetBytes(new string('x', NodeRecord.MaxBytes + 1)));
        cluster.World.Advance(TimeSpan.FromMinutes(1));
        cluster.AssertSettled(2);
    }

    [Fact]
    public void A_peers_newer_view_is_taken_and_an_older_one_never()
    {
        var cluster = MembershipCluster.Started(3);
        var cut = cluster.Nodes[0];
        cut.Registry.SetFault(EmbeddedFault.Cut);
        var old = cut.View;
        cluster.World.Run(() => cluster.Nodes[2].Service.StopAsync(CancellationToken.None));
        cluster.World.Pump();
        Assert.Same(old, cut.View);
        Assert.True(cut.Service.OfferView(cluster.Nodes[1].View));
        Assert.Equal(2, cut.View.Members.Count);
        Assert.False(cut.Service.OfferView(old));
        Assert.False(cut.Service.OfferView(new MeshView(old.Config with { MeshId = 77, Epoch = 99 }, 5, [])));
        cluster.Nodes[2].Gone = true;
        cut.Registry.SetFault(EmbeddedFault.None);
        cluster.AssertSettlesWithin(2, Ttl * 2);
    }

    [Fact]
    public void A_failing_subscriber_stops_nothing()
    {
        var cluster = new MembershipCluster();
        var node = cluster.Make("n1");
        int calls = 0;
        node.Service.OnViewChanged((_, _) => throw new InvalidOperationException("mine"));
        node.Service.OnViewChanged((_, _) => calls++);
        Assert.Null(cluster.World.Run(() => node.StartAsync()).Error);
        Assert.Equal(1, calls);
        Assert.Equal(1, cluster.Log.Errors);
    }

    [Fact]
    public void The_same_seed_gives_the_same_history()
    {
        Assert.Equal(History(5), History(5));
        Assert.NotEqual(History(5), History(6));

        static string History(int seed)
        {
            var cluster = MembershipCluster.Started(3, seed);
            cluster.Store.Wipe();
            cluster.Nodes[1].Registry.SetFault(EmbeddedFault.Hung);
            cluster.World.Advance(TimeSpan.FromSeconds(25));
            cluster.Nodes[1].Registry.SetFault(EmbeddedFault.None);
            cluster.World.Advance(TimeSpan.FromSeconds(60));
            cluster.AssertSettled(3);
            return string.Join("\n", cluster.Nodes.SelectMany(n => n.Views).Select(v => v.Id));
        }
    }
}
