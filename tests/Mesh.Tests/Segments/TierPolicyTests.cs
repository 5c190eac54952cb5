// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests.Segments;

/// <summary>What lies in which tier, as tables.</summary>
public sealed class TierPolicyTests
{
    private const long Gibi = 1L << 30;

    [Theory]
    [InlineData(TierPlace.Dram, "Dram,Vram")]
    [InlineData(TierPlace.Vram, "Vram,Dram")]
    [InlineData(TierPlace.Any, "")]
    public void New_objects_look_for_room_in_this_order(TierPlace place, string order) =>
        Assert.Equal(order, string.Join(',', new TierPolicy(new TierOptions { Place = place }).Order.ToArray()));

    [Theory]
    [InlineData(0, "0 0 0 0 0", false)]
    [InlineData(1, "0", true)]
    [InlineData(2, "0", false)]
    [InlineData(2, "0 60000", true)]
    [InlineData(2, "0 60001", false)]
    [InlineData(3, "0 1 60001 60002", false)]
    [InlineData(3, "0 1 60001 60002 60003", true)]
    [InlineData(2, "4294967290 4", true)]
    [InlineData(2, "4294967290 60000", false)]
    public void So_many_reads_within_the_window_promote(int after, string reads, bool promotes)
    {
        var policy = new TierPolicy(new TierOptions { PromoteAfter = after });
        var heat = default(TierHeat);
        foreach (string at in reads.Split(' '))
            heat = policy.Read(heat, uint.Parse(at, System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(promotes, policy.Promotes(heat));
    }

    [Fact]
    public void Reads_are_counted_up_to_the_most_that_can_be_asked_for()
    {
        var policy = new TierPolicy(new TierOptions { PromoteAfter = TierOptions.MostReads });
        var heat = default(TierHeat);
        for (int i = 1; i < TierOptions.MostReads; i++)
            heat = policy.Read(heat, 7);
        Assert.False(policy.Promotes(heat));
        heat = policy.Read(policy.Read(heat, 7), 7);
        Assert.Equal(new TierHeat(255, 7), heat);
        Assert.True(policy.Promotes(heat));
    }

    [Theory]
    [InlineData(true, 100, 100, "Move")]
    [InlineData(true, 99, 100, "MakeRoom")]
    [InlineData(false, 99, 100, "Stay")]
    [InlineData(true, 99, 1001, "Stay")]
    public void A_hot_object_moves_where_there_is_room_or_something_colder(bool demote, long hole, long occupied,
        string then)
    {
        var policy = new TierPolicy(new TierOptions { Demote = demote });
        Assert.Equal(then, policy.ToDevice(new TierRoom(1000, hole, hole), occupied).ToString());
    }

    [Theory]
    [InlineData(TierPlace.Dram, 2, true, 50, 50)]
    [InlineData(TierPlace.Dram, 2, true, 100, 0)]
    [InlineData(TierPlace.Dram, 0, true, 50, 0)]
    [InlineData(TierPlace.Vram, 0, true, 50, 50)]
    [InlineData(TierPlace.Any, 0, true, 0, 100)]
    [InlineData(TierPlace.Vram, 2, false, 0, 0)]
    public void A_device_gives_up_what_it_lacks_where_something_is_wanted_there(TierPlace place, int after,
        bool demote, long free, long lack)
    {
        var policy = new TierPolicy(new TierOptions { Place = place, PromoteAfter = after, Demote = demote });
        Assert.Equal(lack, policy.Lack(new TierRoom(10_000, free, free)));
    }

    [Fact]
    public void It_keeps_no_more_than_a_gibibyte_free()
    {
        var policy = new TierPolicy(new TierOptions());
        Assert.Equal(0, policy.Lack(new TierRoom(800 * Gibi, Gibi, Gibi)));
        Assert.Equal(1, policy.Lack(new TierRoom(800 * Gibi, Gibi - 1, Gibi - 1)));
    }

    [Theory]
    [InlineData(0, 0, 100, true)]
    [InlineData(0, 0, 99, false)]
    [InlineData(1, 40_000, 100, false)]
    [InlineData(1, 39_999, 100, true)]
    public void What_leaves_a_device_is_cold_and_finds_room(byte reads, uint since, long hole, bool leaves)
    {
        var heat = new TierHeat(reads, since);
        var host = new TierRoom(1000, 500, hole);
        Assert.Equal(leaves, new TierPolicy(new TierOptions()).MayLeave(heat, 100_000, host, 100));
        Assert.False(new TierPolicy(new TierOptions { Demote = false }).MayLeave(heat, 100_000, host, 100));
    }

    [Fact]
    public void Options_say_all_that_is_wrong_with_them()
    {
        Assert.Empty(new TierOptions { PromoteAfter = 0, PromoteWithin = TierOptions.LongestWindow }.Validate());
        var wrong = new TierOptions
        {
            Place = (TierPlace)9,
            PromoteAfter = 256,
            PromoteWithin = TierOptions.LongestWindow + TimeSpan.FromSeconds(1),
        };
        Assert.Equal(["config:tiers.place", "config:tiers.promoteAfter", "config:tiers.promoteWithin"],
            wrong.Validate().Select(error => error.Stage));
        Assert.Equal(3, new MeshNodeOptions { NodeId = "a", Tiers = wrong }.Validate().Count);
        Assert.Single(new TierOptions { PromoteWithin = TimeSpan.Zero }.Validate());
        Assert.Single(new TierOptions { PromoteAfter = -1 }.Validate());
    }
}
