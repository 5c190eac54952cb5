// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Tests.Membership;

public sealed class SlotTableTests
{
    private const int Slots = MeshConfig.DefaultSlots;

    /// <summary>
    /// A change of one of these numbers moves keys in running meshes: it needs a new hash version, not a new number.
    /// </summary>
    [Theory]
    [InlineData("one", 0x8b5c3acb6d73b821ul)]
    [InlineData("three", 0x9b140e54b643bb98ul)]
    [InlineData("mixed", 0x66ada730267b406ful)]
    public void Golden_vectors(string membership, ulong expected)
    {
        var members = membership switch
        {
            "one" => Members(("a", 100)),
            "three" => Members(("node-1", 100), ("node-2", 100), ("node-3", 100)),
            _ => Members(("big", 400), ("gone", 0), ("leaving", 100), ("small", 1), ("x", 100), ("y", 100),
                ("é", 250)),
        };
        members = [.. members.Select(
            m => m.NodeId == "leaving" ? m with { Ring = m.Ring with { Leaving = true } } : m)];
        Assert.Equal($"{expected:x16}", $"{Digest(members):x16}");
    }

    /// <summary>Each change of the membership builds one: what it needs meanwhile must not pile up.</summary>
    [Fact]
    public void Building_a_table_takes_hardly_more_than_the_table()
    {
        var eight = Eight();
        long taken = Allocations.Of(() => SlotTable.Build(eight, Slots));
        Assert.InRange(taken, 0, (Slots * SlotTable.Places * sizeof(short)) + 4096);
    }

    [Fact]
    public void Removing_a_node_moves_only_its_slots()
    {
        var eight = Eight();
        var without = eight.Where(m => m.NodeId != "n3").ToList();
        var before = SlotTable.Build(eight, Slots);
        var after = SlotTable.Build(without, Slots);
        for (int slot = 0; slot < Slots; slot++)
        {
            // The list after is the list before without the node: places only move up.
            var left = Enumerable.Range(0, SlotTable.Places).Select(p => eight[before.OwnerIndex(slot, p)].NodeId)
                .Where(id => id != "n3").ToList();
            var now = Enumerable.Range(0, left.Count).Select(p => without[after.OwnerIndex(slot, p)].NodeId);
            Assert.Equal(left, now);
        }
    }

    [Fact]
    public void A_greater_weight_only_draws_slots_to_its_node()
    {
        var eight = Eight();
        var heavier = eight.Select(
            m => m.NodeId == "n5" ? m with { Ring = new RingShare { Weight = 150 } } : m).ToList();
        var before = SlotTable.Build(eight, Slots);
        var after = SlotTable.Build(heavier, Slots);
        int moved = 0;
        for (int slot = 0; slot < Slots; slot++)
        {
            if (before.OwnerIndex(slot, 0) == after.OwnerIndex(slot, 0))
                continue;
            moved++;
            Assert.Equal("n5", heavier[after.OwnerIndex(slot, 0)].NodeId);
        }

        Assert.InRange(moved, Slots * 4 / 100, Slots * 7 / 100);
    }

    [Fact]
    public void Eight_equal_nodes_share_within_five_percent()
    {
        var shares = Shares(Eight());
        Assert.InRange(shares.Max() / shares.Average(), 1.0, 1.05);
    }

    [Fact]
    public void Weights_are_met_within_five_percent()
    {
        var shares = Shares(Members(("a", 100), ("b", 200), ("c", 400)));
        Assert.InRange(shares[0] * 7, 0.95, 1.05);
        Assert.InRange(shares[1] * 7 / 2, 0.95, 1.05);
        Assert.InRange(shares[2] * 7 / 4, 0.95, 1.05);
    }

    [Fact]
    public void Leaving_and_weightless_nodes_own_nothing()
    {
        var members = Members(("a", 100), ("b", 0), ("c", 100));
        members[2] = members[2] with { Ring = members[2].Ring with { Leaving = true } };
        var table = SlotTable.Build(members, 64);
        for (int slot = 0; slot < 64; slot++)
        {
            Assert.Equal(0, table.OwnerIndex(slot, 0));
            Assert.Equal(-1, table.OwnerIndex(slot, 1));
        }
    }

    private static double[] Shares(List<NodeRecord> members)
    {
        var table = SlotTable.Build(members, Slots);
        var counts = new double[members.Count];
        for (int slot = 0; slot < Slots; slot++)
            counts[table.OwnerIndex(slot, 0)]++;
        return [.. counts.Select(count => count / Slots)];
    }

    private static ulong Digest(List<NodeRecord> members)
    {
        var table = SlotTable.Build(members, Slots);
        var hash = new XxHash3();
        Span<byte> length = stackalloc byte[4];
        for (int slot = 0; slot < Slots; slot++)
        {
            for (int place = 0; place < SlotTable.Places; place++)
            {
                int index = table.OwnerIndex(slot, place);
                byte[] id = index < 0 ? [] : Encoding.UTF8.GetBytes(members[index].NodeId);
                BinaryPrimitives.WriteInt32LittleEndian(length, id.Length);
                hash.Append(length);
                hash.Append(id);
            }
        }

        return hash.GetCurrentHashAsUInt64();
    }

    private static List<NodeRecord> Eight() => Members([.. Enumerable.Range(1, 8).Select(i => ($"n{i}", 100))]);

    private static List<NodeRecord> Members(params (string Id, int Weight)[] nodes) =>
        [.. nodes.Select(
            n => new NodeRecord { NodeId = n.Id, Incarnation = 1, Ring = new RingShare { Weight = n.Weight } })
            .OrderBy(n => n.NodeId, StringComparer.Ordinal)];
}
