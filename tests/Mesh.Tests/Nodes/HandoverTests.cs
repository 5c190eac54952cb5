// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Nodes;

public sealed class HandoverTests
{
    [Fact]
    public void A_node_that_joins_is_given_the_records_of_its_slots_by_stream()
    {
        var world = NodeWorld.Started(2);
        for (int i = 0; i < 200; i++)
            Assert.True(world.Put("n1", $"key-{i}", [(byte)i]).Succeeded);
        Assert.Null(world.Start("n3").Error);
        world.AssertSettles();
        var status = world["n3"].Node.Status();
        Assert.Equal(status.Slots.Primary + status.Slots.Backup, status.Handover.StreamedSlots);
        Assert.Equal(status.Slots.Records, status.Handover.StreamedRecords);
        Assert.Equal((0, 0, 0), (status.Handover.ReconciledSlots, status.Handover.Wanted, status.Handover.Left));
        Assert.Contains(world.Log.Lines, l => l.Contains("slots_completed", StringComparison.Ordinal));
        Assert.Contains(world.Log.Lines, l => l.Contains("handover_done", StringComparison.Ordinal));
        for (int i = 0; i < 200; i++)
            Assert.Equal([(byte)i], world.Get("n3", $"key-{i}").Value);
    }

    [Fact]
    public void A_slot_of_many_pages_is_streamed_while_it_changes()
    {
        var world = NodeWorld.Started(2);
        var owners = new[] { world["n1"].Node, world["n2"].Node };
        var records = new List<KeyedRecord>();
        for (int i = 0; records.Count < 5_000; i++)
        {
            var key = new MeshKey($"key-{i}");
            if (owners[0].View.SlotOf(key.Hash) is 7 or 8)
            {
                records.Add(new KeyedRecord(key, new ObjectRecord
                {
                    Version = new RecordVersion(1, owners[0].View.Id.Revision, i + 1),
                    ObjectId = (ulong)i + 1,
                    Size = 1,
                    Replicas = [new Replica(owners[0].View.Members[0].Incarnation, 0, 4096, (ulong)i)],
                }));
            }
        }

        foreach (var owner in owners)
            records.ForEach(r => owner.Owner!.Owner.Apply(r.Key, r.Record));
        Assert.Null(world.Start("n3").Error);
        world.AssertSettles();
        var joined = world["n3"].Node.Owner!;
        Assert.Equal(0, joined.Keeper.Puller.ReconciledSlots);
        Assert.Equal(0, joined.Keeper.Puller.DigestMismatches);
        foreach (var (key, record) in records)
        {
            int slot = joined.Table.SlotOf(key.Hash);
            if (!joined.States.Owns(slot))
                continue;
            Assert.True(joined.Table.TryFind(slot, key, out var found));
            Assert.Equal(record.ObjectId, found.ObjectId);
        }

        Assert.True(joined.Keeper.Puller.StreamedRecords >= 2_000, "n3 has neither of the two slots");
    }

    [Fact]
    public void A_join_leaves_the_slots_that_stay_alone()
    {
        var world = NodeWorld.Started(3);
        var before = world.Nodes.Select(n => n.Node.Owner!.Keeper.Puller.Rounds).ToArray();
        Assert.Null(world.Start("n4").Error);
        world.AssertSettles();
        Assert.Equal(before, world.Nodes.Take(3).Select(n => n.Node.Owner!.Keeper.Puller.Rounds));
        Assert.Equal(0, world["n4"].Node.Owner!.Keeper.Puller.ReconciledSlots);
    }

    [Fact]
    public void A_vanished_holders_records_are_hidden_at_once_and_forgotten_after_two_ttls()
    {
        var world = NodeWorld.Started(4);
        string[] keys = [.. Enumerable.Range(0, 20).Select(i => $"key-{i}")];
        foreach (string key in keys)
            Assert.True(world.Put("n1", key, [1], key.EndsWith('3') ? "n2" : "n4").Succeeded);
        world["n4"].Kill();
        Assert.True(world.Until(() => world["n1"].Node.View.Members.Count == 3, TimeSpan.FromSeconds(15)));
        Assert.Equal([], world.Get("n1", "key-0").Value);
        Assert.Equal([1], world.Get("n1", "key-3").Value);
        world.Advance(TimeSpan.FromSeconds(18));
        Assert.Equal(0, world.Nodes.Take(3).Sum(n => n.Node.Owner!.Keeper.Swept));
        world.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(2 * 2, world.Nodes.Take(3).Sum(n => n.Node.Owner!.Table.Count));
        Assert.Equal([1], world.Get("n1", "key-3").Value);
    }

    [Fact]
    public void A_holder_that_returns_in_time_loses_no_record()
    {
        var world = NodeWorld.Started(4);
        string[] keys = [.. Enumerable.Range(0, 20).Select(i => $"key-{i}")];
        Assert.All(keys, key => Assert.True(world.Put("n1", key, [1], "n4").Succeeded));
        world["n4"].Registry.SetFault(EmbeddedFault.Cut);
        Assert.True(world.Until(() => world["n1"].Node.View.Members.Count == 3, TimeSpan.FromSeconds(15)));
        world.Advance(TimeSpan.FromSeconds(15));
        world["n4"].Registry.SetFault(EmbeddedFault.None);
        Assert.True(world.Until(() => world["n1"].Node.View.Members.Count == 4, TimeSpan.FromSeconds(15)));
        Assert.All(keys, key => Assert.Equal([1], world.Get("n2", key).Value));
        world.AssertSettles();
        world.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(0, world.Nodes.Sum(n => n.Node.Owner!.Keeper.Swept));
        Assert.All(keys, key => Assert.Equal([1], world.Get("n3", key).Value));
    }

    [Fact]
    public void Tombstones_travel_with_their_slot()
    {
        var world = NodeWorld.Started(2);
        string[] keys = [.. Enumerable.Range(0, 60).Select(i => $"key-{i}")];
        foreach (string key in keys)
        {
            Assert.True(world.Put("n1", key, [1], "n2").Succeeded);
            Assert.True(world.Remove("n1", key).Value);
        }

        Assert.Null(world.Start("n3").Error);
        world.AssertSettles();
        var joined = world["n3"].Node.Owner!;
        int found = 0;
        foreach (string key in keys)
        {
            int slot = joined.Table.SlotOf(new MeshKey(key).Hash);
            if (!joined.States.Owns(slot))
                continue;
            Assert.True(joined.Table.TryFind(slot, new MeshKey(key), out var record) && record.Removed);
            found++;
        }

        Assert.True(found > 20, $"only {found} of the keys are n3's");
    }

    [Fact]
    public void A_slot_mate_that_missed_pings_leaves_the_shared_slots_incomplete_until_the_holders_have_reconciled()
    {
        var world = NodeWorld.Started(3);
        var (one, two) = (world["n1"].Node.Owner!, world["n2"].Node.Owner!);
        world.Network.Cut("n1", "n2");
        world.Network.Cut("n2", "n1");
        world.Advance(TimeSpan.FromSeconds(5));
        var view = world["n1"].Node.View;
        for (int slot = 0; slot < one.States.Slots; slot++)
        {
            bool shared = view.PlaceOf(slot, "n1") is 0 or 1 && view.PlaceOf(slot, "n2") is 0 or 1;
            Assert.Equal(one.States.Owns(slot) && !shared, one.States.IsComplete(slot));
            Assert.Equal(two.States.Owns(slot) && !shared, two.States.IsComplete(slot));
        }

        // Rounds that cannot succeed are made less and less often.
        var handover = world["n1"].Node.Status().Handover;
        Assert.Equal(one.States.Count().Incomplete, handover.Left);
        Assert.InRange(handover.Seconds, 0.1, 4);
        long rounds = one.Keeper.Puller.Rounds;
        world.Advance(TimeSpan.FromSeconds(20));
        // Each missed ping begins one, too.
        Assert.InRange(one.Keeper.Puller.Rounds - rounds, 5, 60);
        world.Network.Heal();
        world.AssertSettles(5);
        Assert.True(one.Keeper.Puller.ReconciledSlots > 0);
    }

    [Fact]
    public void What_was_put_while_the_backup_was_silent_is_known_to_it_afterwards()
    {
        var world = NodeWorld.Started(3);
        string key = world.KeyOwnedBy("n1", not: "n3");
        world.Network.Cut("n1", "n2");
        world.Network.Cut("n2", "n1");
        world.Network.Cut("n3", "n2");
        world.Network.Cut("n2", "n3");
        world.Advance(TimeSpan.FromSeconds(5));
        Assert.True(world.Put("n3", key, [1], "n3").Succeeded);
        world.Network.Heal();
        world.AssertSettles();
        Assert.Equal(0, world["n1"].Node.Owner!.Keeper.Debts);
        world["n1"].Kill();
        world.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal([1], world.Get("n3", key).Value);
    }

    [Fact]
    public void A_lost_slot_is_served_until_its_new_owners_are_complete_and_dropped_then()
    {
        var world = NodeWorld.Started(3);
        for (int i = 0; i < 100; i++)
            Assert.True(world.Put("n1", $"key-{i}", [1]).Succeeded);
        var begun = world.Begin("n4");
        Assert.True(world.Until(() => world.Nodes.Take(3).Any(n => n.Node.Owner!.States.Count().Lost > 0),
            TimeSpan.FromSeconds(20)));
        var loser = world.Nodes.First(n => n.Node.Owner!.States.Count().Lost > 0).Node.Owner!;
        int records = (int)loser.Table.Count;
        Assert.True(records > 0);
        world.AssertSettles();
        world.Advance(TimeSpan.FromSeconds(2));
        Assert.All(world.Nodes, n => Assert.Equal(0, n.Node.Owner!.States.Count().Lost));
        Assert.True(loser.Table.Count < records);
        Assert.Equal(200, world.Nodes.Sum(n => n.Node.Owner!.Table.Count));
        Assert.True(begun.Started.IsCompleted);
    }
}
