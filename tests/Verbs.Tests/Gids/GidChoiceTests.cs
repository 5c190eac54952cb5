// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Verbs.Tests.Gids;

/// <summary>Tables as they are met on cards of Ethernet and InfiniBand.</summary>
public sealed class GidChoiceTests
{
    private const int Length = 16;

    /// <summary>A card with one IPv4 and one global IPv6 address: each address once for either version.</summary>
    private static readonly GidCandidate[] Interleaved =
    [
        Gid(0, "fe80::ba59:9fff:fe00:1", GidType.RoceV1), Gid(1, "fe80::ba59:9fff:fe00:1", GidType.RoceV2),
        Gid(2, "2001:db8::7", GidType.RoceV1), Gid(3, "2001:db8::7", GidType.RoceV2),
        Gid(4, "::ffff:10.1.2.3", GidType.RoceV1), Gid(5, "::ffff:10.1.2.3", GidType.RoceV2),
    ];

    /// <summary>A card with two networks.</summary>
    private static readonly GidCandidate[] TwoNetworks =
    [
        Gid(0, "fe80::1", GidType.RoceV1), Gid(1, "fe80::1", GidType.RoceV2),
        Gid(2, "::ffff:10.1.2.3", GidType.RoceV1), Gid(3, "::ffff:10.1.2.3", GidType.RoceV2),
        Gid(4, "::ffff:192.168.7.3", GidType.RoceV1), Gid(5, "::ffff:192.168.7.3", GidType.RoceV2),
    ];

    [Fact]
    public void Version_2_and_IPv4_win_wherever_they_lie()
    {
        Assert.Equal(5, Chosen(Interleaved));
        Assert.Equal([5, 3, 1, 4, 2, 0], GidChoice.Rank(Interleaved, new GidWish()).Select(gid => gid.Index));
        GidCandidate[] backwards = [.. Interleaved.Reverse()];
        Assert.Equal([5, 3, 1, 4, 2, 0], GidChoice.Rank(backwards, new GidWish()).Select(gid => gid.Index));
    }

    [Fact]
    public void Version_1_is_taken_where_there_is_no_other()
    {
        GidCandidate[] old = [.. Interleaved.Where(gid => gid.Type == GidType.RoceV1)];
        var choice = GidChoice.Choose(old, Length, new GidWish()).Value;
        Assert.Equal(4, choice.Gid.Index);
        Assert.Equal("RoCE v1, there is no v2, IPv4", choice.Reason);
    }

    [Fact]
    public void A_link_local_one_is_taken_where_there_is_no_other()
    {
        var choice = GidChoice.Choose(Interleaved[..2], Length, new GidWish()).Value;
        Assert.Equal(1, choice.Gid.Index);
        Assert.Equal("RoCE v2, link-local alone", choice.Reason);
    }

    [Fact]
    public void A_host_without_IPv4_uses_its_global_IPv6_address() => Assert.Equal(3, Chosen(Interleaved[..4]));

    [Theory]
    [InlineData("10.1.9.9", 5)]
    [InlineData("::ffff:10.1.9.9", 5)]
    [InlineData("2001:db8:9::9", 3)]
    [InlineData("fe80::99", 1)]
    public void The_family_of_the_peer_is_used(string peer, int index) =>
        Assert.Equal(index, Chosen(Interleaved, new GidWish { Peer = IPAddress.Parse(peer) }));

    [Theory]
    [InlineData(AddressFamily.InterNetwork, 5)]
    [InlineData(AddressFamily.InterNetworkV6, 3)]
    public void A_wanted_family_is_used(AddressFamily family, int index) =>
        Assert.Equal(index, Chosen(Interleaved, new GidWish { Family = family }));

    [Fact]
    public void A_family_that_is_not_there_is_said()
    {
        var wish = new GidWish { Peer = IPAddress.Parse("10.1.9.9") };
        var choice = GidChoice.Choose(Interleaved[..4], Length, wish).Value;
        Assert.Equal(3, choice.Gid.Index);
        Assert.Equal("RoCE v2, IPv6, there is no IPv4 one", choice.Reason);
    }

    [Fact]
    public void The_peers_subnet_is_preferred_on_a_host_with_several()
    {
        Assert.Equal(3, Chosen(TwoNetworks, Towards("10.1.99.1")));
        Assert.Equal(5, Chosen(TwoNetworks, Towards("192.168.7.77")));
        Assert.Equal("RoCE v2, IPv4, on the subnet of 192.168.7.77",
            GidChoice.Choose(TwoNetworks, Length, Towards("192.168.7.77")).Value.Reason);
    }

    [Fact]
    public void A_peer_on_none_of_our_subnets_is_reached_by_the_first() =>
        Assert.Equal(3, Chosen(TwoNetworks, Towards("172.16.0.1")));

    [Fact]
    public void A_subnet_does_not_bring_version_1_forward() =>
        Assert.Equal(3, Chosen([.. TwoNetworks.Where(gid => gid.Index != 5)], Towards("192.168.7.77")));

    [Fact]
    public void The_address_of_another_container_is_not_used()
    {
        GidCandidate[] shared = [Gid(0, "::ffff:10.244.0.9", GidType.RoceV2), .. TwoNetworks[2..]];
        Assert.Equal(3, Chosen(shared, Towards("10.244.0.1")));
        Assert.Equal(0, Chosen(shared));
        var choice = GidChoice.Choose(shared[..1], Length, Towards("10.244.0.1")).Value;
        Assert.Equal("RoCE v2, IPv4, an address that no interface here has", choice.Reason);
    }

    [Fact]
    public void A_private_IPv4_link_comes_after_global_addresses() =>
        Assert.Equal(3, Chosen([Gid(1, "::ffff:169.254.3.1", GidType.RoceV2), .. Interleaved[..4]]));

    [Fact]
    public void An_InfiniBand_port_uses_its_first_entry()
    {
        GidCandidate[] table =
        [
            Gid(1, "fec0::2:c903:0:1", GidType.InfiniBand), Gid(0, "fe80::2:c903:0:1", GidType.InfiniBand),
        ];
        var choice = GidChoice.Choose(table, Length, Towards("10.1.2.3")).Value;
        Assert.Equal(0, choice.Gid.Index);
        Assert.Equal("the first of an InfiniBand port", choice.Reason);
        Assert.Equal(1, Chosen(table, new GidWish { Index = 1 }));
    }

    [Fact]
    public void Empty_entries_are_never_chosen()
    {
        Assert.Equal(2, Chosen([Gid(0, "::", GidType.RoceV2), Gid(1, "::", GidType.RoceV2), Interleaved[2]]));
        AssertFault("the port's GID table of 16 entries is empty; bring its interface up and give it an address",
            [Gid(0, "::", GidType.RoceV2)], new GidWish());
    }

    [Fact]
    public void The_index_that_was_set_wins()
    {
        var choice = GidChoice.Choose(Interleaved, Length, Towards("10.1.2.9") with { Index = 0 }).Value;
        Assert.Equal(0, choice.Gid.Index);
        Assert.Equal("the index that was set", choice.Reason);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(16)]
    public void An_index_beyond_the_table_is_refused_with_the_range(int index) =>
        AssertFault($"the GID index is {index}; the port has 0 to 15: set one of these, or none to have it chosen",
            Interleaved, new GidWish { Index = index });

    [Theory]
    [InlineData(6)]
    [InlineData(7)]
    public void An_index_of_an_empty_entry_is_refused_with_the_filled_ones(int index) =>
        AssertFault($"the GID index is {index}, and that entry is empty; filled are 0, 1, 2, 3, 4, 5: set one of "
            + "these, or none to have it chosen",
            [.. Interleaved, Gid(6, "::", GidType.RoceV1)], new GidWish { Index = index });

    [Fact]
    public void Bytes_are_taken_in_the_order_of_the_network()
    {
        byte[] bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3];
        var gid = GidCandidate.Of(4, bytes, GidType.RoceV2, 7);
        Assert.Equal(IPAddress.Parse("10.1.2.3"), gid.Address);
        Assert.Equal(GidScope.IPv4, gid.Scope);
        Assert.Equal(7, gid.NetdevIndex);
    }

    private static int Chosen(IReadOnlyList<GidCandidate> table, GidWish? wish = null) =>
        GidChoice.Choose(table, Length, wish ?? new GidWish()).Value.Gid.Index;

    /// <summary>A wish of a host that has the addresses of <see cref="TwoNetworks"/>.</summary>
    private static GidWish Towards(string peer) => new()
    {
        Peer = IPAddress.Parse(peer),
        Locals = [new(IPAddress.Parse("10.1.2.3"), 16), new(IPAddress.Parse("192.168.7.3"), 24)],
    };

    private static void AssertFault(string message, IReadOnlyList<GidCandidate> table, GidWish wish)
    {
        var error = GidChoice.Choose(table, Length, wish).Error!;
        Assert.Equal((MeshErrorCode.InvalidArgument, "verbs:gid", message), (error.Code, error.Stage, error.Message));
    }

    private static GidCandidate Gid(int index, string address, GidType type) =>
        GidCandidate.Of(index, IPAddress.Parse(address).GetAddressBytes(), type);
}
