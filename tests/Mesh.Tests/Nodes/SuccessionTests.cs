// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>
/// The ring changes, and whoever decided for a key until now hears of it from the registry long after the others.
/// </summary>
public sealed class SuccessionTests
{
    private const string Former = "n2";
    private static readonly TimeSpan Late = TimeSpan.FromMilliseconds(900);
    private static readonly TimeSpan Trip = TimeSpan.FromMilliseconds(10);
    private static readonly byte[] Value = [1, 2, 3];

    public enum Change
    {
        Leave,
        Join,
        LessWeight,
        MoreWeight,
        Expulsion,
    }

    public enum Call
    {
        Get,
        Exists,
        Remove,
    }

    public static TheoryData<Call, int, string, bool, bool> Namesakes =>
        new MatrixTheoryData<Call, int, string, bool, bool>(Enum.GetValues<Call>(), [2, 3, 5], ["n1", Former],
            [false, true], [false, true]);

    public static TheoryData<Change, Call, int> Cases()
    {
        var cases = new TheoryData<Change, Call, int>();
        foreach (var change in Enum.GetValues<Change>())
        {
            foreach (var call in Enum.GetValues<Call>())
            {
                cases.Add(change, call, 2);
                cases.Add(change, call, 4);
            }
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Nobody_denies_in_the_old_ring_what_was_put_in_the_new_one(Change change, Call call, int nodes)
    {
        var world = NodeWorld.Started(nodes);
        world[Former].Registry.WatchDelay = Late;
        world.Network.Slow = (Former, Trip);
        var old = world[Former].Node.View;
        Begin(world, change, nodes);
        string by = change == Change.Join ? $"n{nodes + 1}" : "n1";
        // The new owners are there; not who is only to learn of it.
        Assert.True(world.Until(() => IsChanged(world, by, old),
            change == Change.Expulsion ? TimeSpan.FromSeconds(15) : Late / 2));
        var begun = world.Time.Elapsed;
        string key = KeyThatWent(old, world[by].Node.View);
        Assert.Null(world.Put(by, key, Value, holder: by).Error);
        Assert.True(IsFound(world, world[Former], call, key), $"{call} by {Former}");
        // The registry has told it nothing by then.
        Assert.InRange(world.Time.Elapsed - begun, TimeSpan.Zero, Late / 2);
        world[Former].Registry.SetFault(EmbeddedFault.None);
        world.AssertSettles();
    }

    /// <summary>
    /// A process takes the name of one that lives, as its lease is lost, before the one who had it knows: by a call of
    /// a third node, and by one of its own; with connections to the one who had it, and as they are made anew; where
    /// the others hear of it step by step, and where they see no view between.
    /// </summary>
    [Theory]
    [MemberData(nameof(Namesakes))]
    public void Nobody_denies_under_a_name_that_is_anothers(Call call, int nodes, string by, bool broken,
        bool late)
    {
        var world = NodeWorld.Started(nodes);
        var former = world[Former];
        foreach (var node in world.Nodes)
            node.Registry.WatchDelay = late || node == former ? Late : TimeSpan.Zero;
        world.Network.Slow = (Former, Trip);
        if (broken)
            world.Network.Break(Former);
        Assert.True(world.Store.ExpireLease(former.Node.Membership.Status.Lease));
        var begun = world.Time.Elapsed;
        var next = world.Begin(Former, host: "another");
        var old = former.Node.View;
        Assert.True(world.Until(() => IsChanged(next, old) && IsChanged(world["n1"], old), Late / 2));
        for (int i = 0; i < 8; i++)
        {
            string key = world.KeyOwnedBy(Former, skip: i);
            Assert.Null(world.Put(by, key, Value, holder: "n1").Error);
            Assert.True(IsFound(world, former, call, key), $"{call} of {key} by the life that lost its name");
        }

        // The registry has told it nothing by then.
        Assert.InRange(world.Time.Elapsed - begun, TimeSpan.Zero, Late);
    }

    [Fact]
    public void Who_does_not_answer_is_waited_for_half_a_second()
    {
        var world = NodeWorld.Started(4);
        var old = world[Former].Node.View;
        Begin(world, Change.LessWeight, 4);
        foreach (string other in new[] { "n1", "n3", "n4" })
        {
            world.Network.Cut(Former, other);
            world.Network.Cut(other, Former);
        }

        Assert.True(world.Until(() => IsChanged(world, "n1", old), Late / 2));
        var begun = world.Time.Elapsed;
        Assert.Null(world.Put("n1", KeyThatWent(old, world["n1"].Node.View), Value, holder: "n1").Error);
        Assert.InRange(world.Time.Elapsed - begun, TimeSpan.FromMilliseconds(450), TimeSpan.FromMilliseconds(700));
        Assert.Contains(world.Log.Lines, line => line.Contains($"owner_not_in_view node={Former}",
            StringComparison.Ordinal));
        world.Network.Heal();
        world.AssertSettles();
    }

    [Fact]
    public void A_slot_whose_primary_stays_is_decided_at_once()
    {
        var world = NodeWorld.Started(3);
        var old = world["n1"].Node.View;
        string key = world.KeyOwnedBy("n1");
        Begin(world, Change.LessWeight, 3);
        foreach (string other in new[] { "n1", "n3" })
            world.Network.Cut(Former, other);
        Assert.True(world.Until(() => IsChanged(world, "n1", old), Late / 2));
        var begun = world.Time.Elapsed;
        Assert.True(world["n1"].Node.Owner!.Owner.MayDecide(world["n1"].Node.View.SlotOf(new MeshKey(key).Hash)));
        Assert.False(world["n1"].Node.Owner!.Owner.MayDecide(
            old.SlotOf(new MeshKey(KeyThatWent(old, world["n1"].Node.View, "n1")).Hash)));
        Assert.Equal(begun, world.Time.Elapsed);
    }

    private static void Begin(NodeWorld world, Change change, int nodes)
    {
        if (change == Change.Join)
        {
            world.Begin($"n{nodes + 1}");
            return;
        }

        if (change == Change.Expulsion)
        {
            // Its lease ends; until the others go on without it they confirm its view.
            world[Former].Registry.SetFault(EmbeddedFault.Hung);
            return;
        }

        var node = world[change == Change.MoreWeight ? "n1" : Former];
        _ = change == Change.Leave
            ? node.Runtime.Start(() => node.Node.LeaveAsync(TimeSpan.FromSeconds(30), CancellationToken.None))
            : node.Runtime.Start(() => node.Node.Membership.UpdateAsync(self => self with
            {
                Ring = self.Ring with { Weight = change == Change.MoreWeight ? 1000 : 1 },
            }, CancellationToken.None));
    }

    /// <summary>Whether the name is another's, as far as this node knows.</summary>
    private static bool IsChanged(WorldNode at, MeshView old) => at.IsUp
        && at.Node.View.Find(Former) is { Ring.Starting: false } now && old.Find(Former, now.Incarnation) is null;

    private static bool IsChanged(NodeWorld world, string by, MeshView old) =>
        world[by].IsUp && world[by].Node.Ready && !world[by].Node.View.HasSharesOf(old);

    /// <summary>A key that went from the former primary to another; null: to any.</summary>
    private static string KeyThatWent(MeshView old, MeshView now, string? to = null)
    {
        for (int i = 0; ; i++)
        {
            int slot = old.SlotOf(new MeshKey($"went-{i}").Hash);
            string owner = now.Owner(slot, 0)!.NodeId;
            if (old.Owner(slot, 0)!.NodeId == Former && owner != Former && owner == (to ?? owner))
                return $"went-{i}";
        }
    }

    private static bool IsFound(NodeWorld world, WorldNode at, Call call, string key) => world.Run(at, async () =>
    {
        var operations = at.Node.Operations;
        using var target = new ArrayTarget();
        return call switch
        {
            Call.Get => (await operations.GetAsync(new MeshKey(key), target, null, CancellationToken.None)).Succeeded
                && target.Array.AsSpan().SequenceEqual(Value),
            Call.Exists => (await operations.ExistAsync([new MeshKey(key)], null, CancellationToken.None))[0].Value,
            _ => (await operations.RemoveAsync(new MeshKey(key), null, CancellationToken.None)).Value,
        };
    });
}
