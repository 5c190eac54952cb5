// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>The outcomes that docs/lives.md promises of a node id that has more than one life.</summary>
public sealed class LivesTests
{
    private static readonly TimeSpan Ttl = TimeSpan.FromSeconds(10);
    private static readonly byte[] Value = [1, 2, 3];

    [Fact]
    public void Killed_and_restarted_within_its_lease_it_is_refused_until_the_lease_ends()
    {
        var world = NodeWorld.Started(3);
        ulong former = Incarnation(world, "n3");
        world["n3"].Kill();
        var refused = world.Start("n3");
        Assert.Equal(MeshErrorCode.NodeIdInUse, refused.Error!.Code);
        world.Advance(Ttl + TimeSpan.FromSeconds(1));
        Assert.Null(world.Start("n3").Error);
        world.AssertSettles();
        Assert.NotEqual(former, Incarnation(world, "n3"));
    }

    [Fact]
    public void With_a_runtime_directory_it_ends_its_former_lease_and_starts_at_once()
    {
        var world = NodeWorld.Started(2);
        string directory = System.IO.Directory.CreateTempSubdirectory("mesh-lives-").FullName;
        try
        {
            Assert.Null(world.Start("n3", with: o => o with { RuntimeDirectory = directory }).Error);
            world.AssertSettles();
            ulong former = Incarnation(world, "n3");
            world["n3"].Kill();
            var killed = world.Time.Elapsed;
            Assert.Null(world.Start("n3", with: o => o with { RuntimeDirectory = directory }).Error);
            Assert.True(world.Time.Elapsed - killed < TimeSpan.FromSeconds(1));
            world.AssertSettles();
            Assert.NotEqual(former, Incarnation(world, "n3"));
            world["n3"].Kill();
        }
        finally
        {
            System.IO.Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public void Told_to_wait_it_starts_when_the_lease_has_ended()
    {
        var world = NodeWorld.Started(3);
        world["n3"].Kill();
        Assert.Null(world.Start("n3", with: o => o with { WaitForNodeId = true }).Error);
        world.AssertSettles();
    }

    [Fact]
    public void A_second_process_of_a_living_node_is_refused_and_the_first_notices_nothing()
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "k", Value, "n3").Succeeded);
        var view = world["n1"].Node.View.Id;
        var first = world["n3"];
        var refused = world.Start("n3");
        Assert.Equal(MeshErrorCode.NodeIdInUse, refused.Error!.Code);
        Assert.Contains("n3", refused.Error.Message, StringComparison.Ordinal);
        world.Advance(Ttl * 3);
        Assert.Equal(view, world["n1"].Node.View.Id);
        Assert.True(first.Node.Ready);
        Assert.Equal(Value, world.Get("n1", "k").Value);
    }

    [Theory]
    [InlineData(5)]
    [InlineData(30)]
    [InlineData(250)]
    public void Stopped_and_resumed_within_five_minutes_it_keeps_its_memory(int seconds)
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "held", Value, "n3").Succeeded);
        string meanwhile = world.KeyOwnedBy("n3");
        ulong incarnation = Incarnation(world, "n3");
        var stopped = world["n3"];
        stopped.Stopped = true;
        world.Advance(TimeSpan.FromSeconds(seconds));
        Assert.Equal(seconds < 10 ? 3 : 2, world["n1"].Node.View.Members.Count);
        Assert.True(world.Put("n1", meanwhile, [9], "n1").Succeeded);
        stopped.Stopped = false;
        // It must not deny what came while it stood still.
        Assert.NotEqual([], world.Get("n3", meanwhile).Value);
        world.AssertSettles();
        Assert.Equal(incarnation, Incarnation(world, "n3"));
        Assert.Equal(Value, world.Get("n1", "held").Value);
        Assert.Equal([9], world.Get("n3", meanwhile).Value);
        Assert.Equal(1, stopped.Node.Owner!.Guard.Pauses);
        Assert.Equal(0, stopped.Node.Expulsion.Renewals);
    }

    [Fact]
    public void Stopped_for_longer_it_drops_its_objects_and_begins_a_new_life()
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "removed", Value, "n3").Succeeded);
        Assert.True(world.Put("n1", "kept", Value, "n3").Succeeded);
        ulong incarnation = Incarnation(world, "n3");
        var stopped = world["n3"];
        stopped.Stopped = true;
        world.Advance(Ttl * 1.5);
        world.Remove("n1", "removed");
        // Tombstones are forgotten by now.
        world.Advance(TimeSpan.FromMinutes(15));
        stopped.Stopped = false;
        world.AssertSettles();
        Assert.Equal(1, stopped.Node.Expulsion.Renewals);
        Assert.NotEqual(incarnation, Incarnation(world, "n3"));
        world.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(0, stopped.Node.Status().Memory.Objects);
        Assert.Equal([], world.Get("n1", "removed").Value);
        Assert.Equal([], world.Get("n1", "kept").Value);
        Assert.True(world.Put("n1", "kept", [7], "n3").Succeeded);
        Assert.Equal([7], world.Get("n2", "kept").Value);
    }

    [Theory]
    [InlineData(60, false)]
    [InlineData(400, true)]
    public void Cut_from_the_registry_alone_it_serves_on_is_expelled_and_comes_back(int seconds, bool renewed)
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "held", Value, "n3").Succeeded);
        ulong incarnation = Incarnation(world, "n3");
        var cut = world["n3"];
        cut.Registry.SetFault(EmbeddedFault.Cut);
        world.Advance(Ttl * 2);
        // A peer has shown it the view that it is not in.
        Assert.True(cut.Node.Expulsion.IsExpelled);
        Assert.Equal(world["n1"].Node.View.Id, cut.Node.View.Id);
        Assert.Contains("not in its view", cut.Node.NotReadyReason, StringComparison.Ordinal);
        // Its own callers are served by the others.
        Assert.True(world.Put("n3", "from-it", [4]).Succeeded);
        Assert.Equal([4], world.Get("n3", "from-it").Value);
        world.Advance(TimeSpan.FromSeconds(seconds) - (Ttl * 2));
        cut.Registry.SetFault(EmbeddedFault.None);
        world.AssertSettles();
        world.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(renewed, incarnation != Incarnation(world, "n3"));
        var life = cut.Node.Status().Life;
        Assert.Equal((1, renewed ? 1 : 0, true), (life.Expulsions, life.Renewals, life.Confirmed));
        Assert.Equal(renewed ? [] : Value, world.Get("n1", "held").Value);
        Assert.Equal([4], world.Get("n3", "from-it").Value);
    }

    [Theory]
    [InlineData(60, false)]
    [InlineData(400, true)]
    public void Cut_from_everything_it_finds_out_when_it_is_back(int seconds, bool renewed)
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "held", Value, "n3").Succeeded);
        ulong incarnation = Incarnation(world, "n3");
        var cut = world["n3"];
        Isolate(world, "n3");
        cut.Registry.SetFault(EmbeddedFault.Cut);
        world.Advance(Ttl * 2);
        string key = world.KeyOwnedBy("n1");
        Assert.True(world.Put("n1", key, [5]).Succeeded);
        // Alone it neither decides nor denies.
        Assert.False(cut.Node.Status().Life.Confirmed);
        Assert.True(cut.Node.Status().Degraded);
        Assert.False(world.Get("n3", key).Succeeded);
        world.Advance(TimeSpan.FromSeconds(seconds) - (Ttl * 2));
        cut.Registry.SetFault(EmbeddedFault.None);
        world.Network.Heal();
        world.AssertSettles();
        world.Advance(TimeSpan.FromSeconds(5));
        world.AssertSettles();
        Assert.Equal(renewed, incarnation != Incarnation(world, "n3"));
        Assert.Equal(1, cut.Node.Expulsion.Expulsions);
        Assert.Equal([5], world.Get("n3", key).Value);
        Assert.Equal(renewed ? [] : Value, world.Get("n1", "held").Value);
    }

    [Theory]
    [InlineData(60, false)]
    [InlineData(400, true)]
    public void Back_in_the_registry_before_it_has_seen_a_view_without_it_a_peer_tells_it(int seconds, bool renewed)
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "held", Value, "n3").Succeeded);
        ulong incarnation = Incarnation(world, "n3");
        var cut = world["n3"];
        Isolate(world, "n3");
        cut.Registry.SetFault(EmbeddedFault.Cut);
        world.Advance(TimeSpan.FromSeconds(seconds));
        cut.Registry.SetFault(EmbeddedFault.None);
        // Members are only added for a while: it takes the mesh for whole, as after an outage of the registry.
        world.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(3, cut.Node.View.Members.Count);
        Assert.Equal(0, cut.Node.Expulsion.Expulsions);
        world.Network.Heal();
        world.Advance(TimeSpan.FromSeconds(5));
        world.AssertSettles();
        Assert.Equal(1, cut.Node.Expulsion.Expulsions);
        Assert.Equal(renewed, incarnation != Incarnation(world, "n3"));
        Assert.Equal(renewed ? [] : Value, world.Get("n1", "held").Value);
    }

    [Fact]
    public void Cut_from_its_peers_alone_it_stays_a_member_and_all_agree_afterwards()
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "held", Value, "n3").Succeeded);
        Isolate(world, "n3");
        world.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(3, world["n1"].Node.View.Members.Count);
        string[] keys = [.. Enumerable.Range(0, 8).Select(i => $"both-{i}")];
        Assert.All(keys, key => Assert.True(world.Put("n1", key, [1]).Succeeded));
        Assert.All(keys, key => world.Put("n3", key, [3], "n3"));
        world.Network.Heal();
        world.AssertSettles();
        world.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(Value, world.Get("n1", "held").Value);
        foreach (string key in keys)
        {
            byte[] one = world.Get("n1", key).Value;
            Assert.NotEmpty(one);
            Assert.Equal(one, world.Get("n2", key).Value);
            Assert.Equal(one, world.Get("n3", key).Value);
        }

        Assert.All(world.Nodes, n => Assert.Equal(0, n.Node.Expulsion.Expulsions));
    }

    [Theory]
    [InlineData(EmbeddedFault.Cut, false)]
    [InlineData(EmbeddedFault.Hung, false)]
    [InlineData(EmbeddedFault.Cut, true)]
    public void With_the_registry_away_from_all_nobody_is_expelled_and_nothing_is_dropped(EmbeddedFault fault,
        bool wiped)
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "held", Value, "n3").Succeeded);
        foreach (var node in world.Nodes)
            node.Registry.SetFault(fault);
        world.Advance(TimeSpan.FromMinutes(10));
        Assert.All(world.Nodes, n => Assert.True(n.Node.Owner!.Owner.Confident));
        Assert.True(world.Put("n1", "during", [6]).Succeeded);
        Assert.Equal([], world.Get("n2", "nothing").Value);
        var rounds = world.Nodes.Select(n => n.Node.Owner!.Keeper.Puller.Rounds).ToArray();
        if (wiped)
            world.Store.Wipe();
        foreach (var node in world.Nodes)
            node.Registry.SetFault(EmbeddedFault.None);
        world.AssertSettles();
        world.Advance(TimeSpan.FromMinutes(1));
        // The members have told each other that nobody was in another ring: no slot is handed over.
        Assert.Equal(rounds, world.Nodes.Select(n => n.Node.Owner!.Keeper.Puller.Rounds));
        Assert.Equal(Value, world.Get("n1", "held").Value);
        Assert.Equal([6], world.Get("n3", "during").Value);
        Assert.All(world.Nodes, n => Assert.Equal(0, n.Node.Expulsion.Expulsions));
        Assert.All(world.Nodes, n => Assert.Equal(0, n.Node.Expulsion.Renewals));
    }

    [Theory]
    [InlineData(400)]
    [InlineData(-400)]
    public void A_wall_clock_that_jumps_is_not_noticed(int days)
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "held", Value, "n3").Succeeded);
        var view = world["n1"].Node.View.Id;
        world.Time.WallClockJump = TimeSpan.FromDays(days);
        world.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(Value, world.Get("n2", "held").Value);
        Assert.All(world.Nodes, n => Assert.Equal(view, n.Node.View.Id));
        Assert.All(world.Nodes, n => Assert.Equal(0, n.Node.Owner!.Guard.Pauses));
    }

    private static ulong Incarnation(NodeWorld world, string id) => world["n1"].Node.View.Find(id)!.Incarnation;

    private static void Isolate(NodeWorld world, string id)
    {
        foreach (var other in world.Nodes.Where(n => n.Id != id))
        {
            world.Network.Cut(id, other.Id);
            world.Network.Cut(other.Id, id);
        }
    }
}
