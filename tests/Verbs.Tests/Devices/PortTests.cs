// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Devices;

public sealed class PortTests
{
    private const string Port = "infiniband/double0/ports/1/";

    [Theory]
    [InlineData("100 Gb/sec (4X EDR)", 100_000_000_000L)]
    [InlineData("2.5 Gb/sec (1X SDR)", 2_500_000_000L)]
    [InlineData("nonsense", null)]
    [InlineData("4 Mb/sec", null)]
    public void The_rate_is_read_from_sysfs(string line, long? bits)
    {
        using var verbs = new VerbsDouble();
        using VerbsDevice device = verbs.Open();
        Assert.Null(device.Port(1).BitsPerSecond);
        verbs.Write(Port + "rate", line);
        Assert.Equal(bits, device.Port(1).BitsPerSecond);
    }

    [Theory]
    [InlineData("", "", LinkLayer.Ethernet)]
    [InlineData("LAYER=IBV_LINK_LAYER_INFINIBAND", "Ethernet", LinkLayer.InfiniBand)]
    [InlineData("LAYER=IBV_LINK_LAYER_UNSPECIFIED", "Ethernet", LinkLayer.Ethernet)]
    [InlineData("LAYER=IBV_LINK_LAYER_UNSPECIFIED", "InfiniBand", LinkLayer.InfiniBand)]
    public void Sysfs_says_the_link_layer_where_the_device_does_not(string definition, string line, object layer)
    {
        using var verbs = new VerbsDouble(definition);
        using VerbsDevice device = verbs.Open();
        verbs.Write(Port + "link_layer", line);
        PortInfo port = device.Port(1);
        Assert.Equal((PortState.Active, 1024, (LinkLayer)layer), (port.State, port.ActiveMtu, port.LinkLayer));
    }

    [Fact]
    public void A_port_that_is_not_there_is_refused()
    {
        using var verbs = new VerbsDouble();
        using VerbsDevice device = verbs.Open();
        var refusal = Assert.Throws<VerbsException>(() => device.Port(3));
        Assert.Equal(22, refusal.Errno);
        Assert.EndsWith("double0, port 3", refusal.Message);
    }

    [Fact]
    public void The_table_gives_the_rows_of_one_port_by_index()
    {
        using var verbs = new VerbsDouble();
        using VerbsDevice device = verbs.Open();
        Assert.Equal(
            [
                new GidEntry(0, new Gid(2), GidType.RoceV2, 4),
                new GidEntry(2, new Gid(0), GidType.RoceV2, 4),
            ],
            device.Gids(1));
        Assert.Equal([new GidEntry(1, new Gid(1), GidType.RoceV2, 4)], device.Gids(2));
    }

    [Fact]
    public void An_older_library_gives_the_rows_one_by_one_with_what_sysfs_says()
    {
        using var verbs = new VerbsDouble("NO_OPTIONAL");
        using VerbsDevice device = verbs.Open();
        verbs.Write(Port + "gid_attrs/types/0", "IB/RoCE v1");
        verbs.Write(Port + "gid_attrs/types/2", "RoCE v2");
        verbs.Write(Port + "gid_attrs/ndevs/2", "eth3");
        verbs.Write("net/eth3/ifindex", "11");
        IReadOnlyList<GidEntry> gids = device.Gids(1);
        Assert.Equal([(0, GidType.RoceV1, 0u), (2, GidType.RoceV2, 11u)],
            gids.Select(entry => (entry.Index, entry.Type, entry.InterfaceIndex)));
        Assert.Equal(["fe00::1", "fe00::3"], gids.Select(entry => entry.Gid.ToString()));
    }

    [Fact]
    public void On_infiniband_a_gid_is_of_that_kind()
    {
        using var verbs = new VerbsDouble("NO_OPTIONAL LAYER=IBV_LINK_LAYER_INFINIBAND");
        using VerbsDevice device = verbs.Open();
        verbs.Write(Port + "gid_attrs/types/0", "IB/RoCE v1");
        Assert.Equal(GidType.InfiniBand, device.Gids(1)[0].Type);
    }

    [Fact]
    public void A_gid_survives_its_bytes()
    {
        Gid gid = new((UInt128)0xffff0a630011);
        Assert.Equal("::ffff:10.99.0.17", gid.ToString());
        var bytes = new byte[Gid.Size];
        gid.CopyTo(bytes);
        Assert.Equal([10, 99, 0, 17], bytes[12..]);
        Assert.Equal(gid, Gid.FromBytes(bytes));
    }

    [Theory]
    [InlineData(256)]
    [InlineData(512)]
    [InlineData(1024)]
    [InlineData(2048)]
    [InlineData(4096)]
    public void A_path_mtu_survives_its_code(int bytes) => Assert.Equal(bytes, PathMtu.Bytes(PathMtu.Native(bytes)));

    [Fact]
    public void No_other_path_mtu_is_taken()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => PathMtu.Native(1500));
        Assert.Equal(0, PathMtu.Bytes(0));
    }
}
