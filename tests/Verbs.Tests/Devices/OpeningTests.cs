// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Devices;

public sealed class OpeningTests
{
    private const int NotPermitted = 1, NoEntry = 2, TooMany = 24;

    [Theory]
    [InlineData("OPEN_ERRNO=EACCES", "double0: permission denied (13): this user may not read and write its /dev/")]
    [InlineData("OPEN_ERRNO=EPERM", "double0: permission denied (1): ")]
    [InlineData("OPEN_ERRNO=ENOENT", "double0: the kernel has it and its /dev/infiniband/uverbs file is not here: ")]
    [InlineData("OPEN_ERRNO=EMFILE", "double0: ibv_open_device: Too many open files (24)")]
    [InlineData("OPENS=0", "double0: ibv_open_device: failed and gave no reason")]
    public void Why_a_device_does_not_open_is_said(string definition, string reason)
    {
        using var verbs = new VerbsDouble(definition);
        Assert.Null(VerbsDevice.Open(verbs.Library, verbs.Sysfs, "double0", out string? said));
        Assert.StartsWith(reason, said);
        DeviceListing listing = DeviceListing.All(verbs.Library, verbs.Sysfs)[0];
        Assert.Equal(("double0", said), (listing.Name, listing.NotUsableReason));
        Assert.Equal("", verbs.Ended);
    }

    [Fact]
    public void An_unknown_name_is_answered_with_the_known_ones()
    {
        using var verbs = new VerbsDouble();
        Assert.Null(VerbsDevice.Open(verbs.Library, verbs.Sysfs, "mlx5_7", out string? said));
        Assert.Equal("no RDMA device is named mlx5_7; there are: double0, double1", said);
    }

    [Fact]
    public void No_device_list_is_an_empty_one()
    {
        using var verbs = new VerbsDouble("NO_LIST");
        Assert.Empty(DeviceListing.All(verbs.Library, verbs.Sysfs));
        Assert.Null(VerbsDevice.Open(verbs.Library, verbs.Sysfs, "mlx5_7", out string? said));
        Assert.EndsWith("there are: none", said);
    }

    [Fact]
    public void A_device_that_only_sysfs_knows_is_a_container_without_its_file()
    {
        using var verbs = new VerbsDouble();
        verbs.Write("infiniband/double1/node_guid", "0000:0000:0000:0001");
        verbs.Write("infiniband/mlx5_0/node_guid", "0000:0000:0000:0002");
        IReadOnlyList<DeviceListing> all = DeviceListing.All(verbs.Library, verbs.Sysfs);
        Assert.Equal(["double0", "double1", "mlx5_0"], all.Select(device => device.Name));
        Assert.Equal([null, null], all.Take(2).Select(device => device.NotUsableReason));
        Assert.Equal(1ul, all[0].NodeGuid);
        Assert.Contains("a container must be given /dev/infiniband", all[2].NotUsableReason);
    }

    [Fact]
    public void A_device_without_a_domain_is_closed_again()
    {
        using var verbs = new VerbsDouble("PD_ERRNO=EMFILE");
        var refusal = Assert.Throws<VerbsException>(() => verbs.Open());
        Assert.Equal((TooMany, "ibv_alloc_pd"), (refusal.Errno, refusal.Call));
        Assert.Equal("D", verbs.Ended);
    }

    [Theory]
    [InlineData(NotPermitted)]
    [InlineData(NoEntry)]
    [InlineData(TooMany)]
    public void An_error_keeps_its_number(int errno)
    {
        var error = new VerbsException(errno, "ibv_modify_qp", "to IBV_QPS_RTR");
        Assert.Equal(errno, error.Errno);
        Assert.Matches($@"^ibv_modify_qp: .+ \({errno}\); to IBV_QPS_RTR$", error.Message);
    }

    [Fact]
    public void Limits_are_cut_to_what_their_types_hold()
    {
        using var verbs = new VerbsDouble();
        using VerbsDevice device = verbs.Open();
        Assert.Equal(long.MaxValue, device.Limits.MaxMrSize);
        Assert.Equal(byte.MaxValue, device.Limits.MaxRdAtomic);
        Assert.Equal((32, 16, 2), (device.Limits.MaxSge, device.Limits.MaxSgeRead, (int)device.Limits.PortCount));
        Assert.Equal("1.2.3", device.Limits.Firmware);
    }
}
