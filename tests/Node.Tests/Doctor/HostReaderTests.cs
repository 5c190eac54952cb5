// SPDX-License-Identifier: Apache-2.0

using System.Net;
using Mooncake.Mesh.Node.Doctor;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Tests.Doctor;

public sealed class HostReaderTests : IDisposable
{
    private static readonly VerbsFacts Usable = new(null, new Dictionary<string, long>());
    private readonly FakeHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public void Limits_and_sizes_are_read()
    {
        _host.File("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       8388608 kB\n")
            .File("sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:       4194304 kB\n")
            .File("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512\n")
            .File("proc/sys/kernel/yama/ptrace_scope", "1\n")
            .File("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570\n")
            .File("sys/module/nvidia_peermem/initstate", "live\n");
        var facts = Read();
        Assert.Equal(8L << 20, facts.MemlockBytes);
        Assert.Equal(16L << 30, facts.MemoryBytes);
        Assert.Equal([new NumaFacts(0, 8L << 30), new NumaFacts(1, 4L << 30)], facts.NumaNodes);
        Assert.Equal((512, 1), (facts.FreeHugePages, facts.PtraceScope));
        Assert.Equal((true, true), (facts.HasOpenGpuDriver, facts.HasPeerMemory));
        Assert.Equal((false, false), (facts.IgnoresMemlock, facts.IgnoresPtraceScope));
        Assert.Equal("6.1.0-28-amd64", facts.KernelRelease);
    }

    [Fact]
    public void No_limit_is_none_and_capabilities_are_seen()
    {
        _host.File("proc/self/limits", "Max locked memory         unlimited            unlimited            bytes\n")
            .File("proc/self/status", "CapEff:\t000001ffffffffff\n");
        var facts = Read();
        Assert.Null(facts.MemlockBytes);
        Assert.Equal((true, true), (facts.IgnoresMemlock, facts.IgnoresPtraceScope));
        Assert.Null(facts.PtraceScope);
    }

    [Fact]
    public void Each_capability_is_its_own_bit()
    {
        _host.File("proc/self/status", "CapEff:\t0000000000004000\n");
        Assert.Equal((true, false), (Read().IgnoresMemlock, Read().IgnoresPtraceScope));
    }

    [Fact]
    public void A_device_has_its_file_its_port_and_its_filled_GIDs()
    {
        _host.Device("mlx5_0", 7);
        var device = Assert.Single(Read().Rdma);
        Assert.Equal(("mlx5_0", "/dev/infiniband/uverbs7", DeviceAccess.Opens),
            (device.Name, device.File, device.Access));
        var port = Assert.Single(device.Ports);
        Assert.Equal((1, "ACTIVE", false, 4, "eth7", 9000),
            (port.Number, port.State, port.IsInfiniBand, port.GidLength, port.Interface, port.InterfaceMtu));
        Assert.Equal([(0, GidType.RoceV1, 9), (1, GidType.RoceV2, 9)],
            port.Gids.Select(gid => (gid.Index, gid.Type, gid.NetdevIndex)));
        Assert.All(port.Gids, gid => Assert.Equal(IPAddress.Parse("10.99.0.7"), gid.Address));
    }

    [Fact]
    public void A_device_without_a_file_is_missing_and_one_without_a_driver_is_said_so()
    {
        _host.Device("mlx5_0", 0, hasFile: false).File("sys/class/infiniband/mlx5_1/node_type", "1: CA\n");
        Assert.Equal([DeviceAccess.Missing, DeviceAccess.NoDriver], Read().Rdma.Select(device => device.Access));
    }

    [Fact]
    public void A_host_that_tells_nothing_has_nothing()
    {
        var facts = HostReader.Read("/nonexistent", [], Usable);
        Assert.Equal((0L, 0L), (facts.MemoryBytes, facts.FreeHugePages));
        Assert.Empty(facts.Rdma);
    }

    private HostFacts Read() => HostReader.Read(_host.Root, [], Usable);
}
