// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Devices;

[Collection(RealDevices.Name)]
public sealed class VerbsDeviceTests
{
    [Fact]
    public void Every_listed_device_opens_here()
    {
        using VerbsDevice device = RealDevices.Open();
        IReadOnlyList<DeviceListing> all = DeviceListing.All();
        Assert.Contains(all, listed => listed.Name == device.Name && listed.NotUsableReason is null);
        Assert.All(all, listed => Assert.NotEqual(0ul, listed.NodeGuid));
    }

    [Fact]
    public void An_unknown_device_is_answered_with_the_known_ones()
    {
        using VerbsDevice device = RealDevices.Open();
        Assert.Null(VerbsDevice.Open("rdma-none", out string? reason));
        Assert.StartsWith("no RDMA device is named rdma-none; there are: ", reason);
        Assert.Contains(device.Name, reason);
    }

    [Fact]
    public void Limits_and_port_make_sense()
    {
        using VerbsDevice device = RealDevices.Open();
        DeviceLimits limits = device.Limits;
        Assert.True(limits.MaxMrSize >= 1 << 30, $"{limits}");
        Assert.True(limits is { MaxQp: > 1, MaxQpWr: > 63, MaxSge: > 1, MaxSgeRead: > 0, MaxCqe: > 63 }, $"{limits}");
        Assert.True(limits is { MaxMr: > 1, MaxRdAtomic: > 0, MaxInitRdAtomic: > 0, PortCount: > 0 }, $"{limits}");
        Assert.NotEqual(0ul, limits.PageSizes & (1 << 12));

        PortInfo port = device.Port(1);
        Assert.Equal(PortState.Active, port.State);
        Assert.InRange(port.ActiveMtu, 256, 4096);
        Assert.NotEqual(LinkLayer.Unknown, port.LinkLayer);
        Assert.True(port.BitsPerSecond > 0, $"{port}");
        Assert.Throws<VerbsException>(() => device.Port(200));
    }

    [Fact]
    public void Gids_are_found_with_kind_and_interface()
    {
        using VerbsDevice device = RealDevices.Open();
        PortInfo port = device.Port(1);
        IReadOnlyList<GidEntry> gids = device.Gids(1);
        Assert.NotEmpty(gids);
        Assert.All(gids, entry => Assert.InRange(entry.Index, 0, port.GidTableLength - 1));
        Assert.All(gids, entry => Assert.NotEqual(default, entry.Gid));
        bool ethernet = port.LinkLayer == LinkLayer.Ethernet;
        Assert.All(gids, entry => Assert.Equal(ethernet, entry.Type is GidType.RoceV1 or GidType.RoceV2));
        Assert.All(gids, entry => Assert.Equal(ethernet, entry.InterfaceIndex != 0));
    }

    [Fact]
    public void No_event_waits_on_a_quiet_device()
    {
        using VerbsDevice device = RealDevices.Open();
        while (device.TryGetEvent(out VerbsEvent _))
            Assert.True(device.AsyncDescriptor >= 0);
        Assert.False(device.TryGetEvent(out VerbsEvent _));
    }

    [Fact]
    public void A_region_of_a_gibibyte_registers_and_goes()
    {
        const int GiB = 1 << 30;
        using VerbsDevice device = RealDevices.Open();
        using var buffer = new NativeBuffer(GiB);
        using (MemoryRegion region = device.Register(
            buffer.Address, GiB, MemoryAccess.RemoteRead | MemoryAccess.RelaxedOrdering))
        {
            Assert.Equal((buffer.Address, GiB), ((nint)region.Address, region.Length));
            Assert.NotEqual(0u, region.LocalKey | region.RemoteKey);
        }

        Assert.Equal(2, device.Counts.Alive);
        Assert.Equal(0, device.Counts.Refused);
    }

    [Fact]
    public void A_region_outlives_its_device_until_it_is_disposed()
    {
        using var buffer = new NativeBuffer(4096);
        VerbsDevice device = RealDevices.Open();
        MemoryRegion region = device.Register(buffer.Address, 4096, MemoryAccess.LocalWrite);
        device.Dispose();
        Assert.Equal(3, device.Counts.Alive);
        Assert.Throws<ObjectDisposedException>(() =>
            device.Register(buffer.Address, 4096, MemoryAccess.LocalWrite));
        region.Dispose();
        Assert.Equal(0, device.Counts.Alive);
        Assert.Equal(0, device.Counts.Refused);
    }

    [Fact]
    public void Memory_that_is_not_there_is_refused_with_its_number()
    {
        const int Fault = 14;
        using VerbsDevice device = RealDevices.Open();
        var refusal = Assert.Throws<VerbsException>(() => device.Register(0x1000, 4096, MemoryAccess.LocalWrite));
        Assert.Equal((Fault, "ibv_reg_mr"), (refusal.Errno, refusal.Call));
    }
}
