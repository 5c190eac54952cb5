// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

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
        var puller = world["n3"].Node.Owner!.Keeper.Puller;
        Assert.True(puller.StreamedSlots > 0);
        Assert.Equal(0, puller.ReconciledSlots);
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
}
