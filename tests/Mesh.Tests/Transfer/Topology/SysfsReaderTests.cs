// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Topology;

namespace Mooncake.Mesh.Tests.Transfer.Topology;

public sealed class SysfsReaderTests : IDisposable
{
    private readonly FakeSysfs _sysfs = new();

    public void Dispose() => _sysfs.Dispose();

    /// <summary>Two sockets; on each four switches, and below each switch one GPU and one card.</summary>
    [Fact]
    public void Each_GPU_prefers_the_card_below_its_switch_and_each_socket_its_own_cards()
    {
        BigHost();
        var hardware = new SysfsReader(_sysfs.Root).Read();
        var matrix = TopologyMatrix.Of(hardware);

        Assert.Equal(["cpu:0", "cpu:1", .. Enumerable.Range(0, 8).Select(i => $"cuda:{i}")],
            matrix.Rows.Select(row => row.Location));
        Assert.Equal(["mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3"], matrix.For("cpu:0").Preferred);
        Assert.Equal(["mlx5_4", "mlx5_5", "mlx5_6", "mlx5_7"], matrix.For("cpu:0").Others);
        Assert.Equal(["mlx5_4", "mlx5_5", "mlx5_6", "mlx5_7"], matrix.For("cpu:1").Preferred);
        for (int i = 0; i < 8; i++)
        {
            Assert.Equal([$"mlx5_{i}"], matrix.For($"cuda:{i}").Preferred);
            Assert.Equal(7, matrix.For($"cuda:{i}").Others.Count);
        }
    }

    [Fact]
    public void A_GPU_without_a_card_on_its_bridge_prefers_those_of_its_socket()
    {
        _sysfs.Node(0, 1)
            .Gpu("pci0000:80/0000:80:01.0/0000:81:00.0", 1)
            .Nic("mlx5_0", "pci0000:10/0000:10:01.0/0000:11:00.0", 0)
            .Nic("mlx5_1", "pci0000:90/0000:90:01.0/0000:91:00.0", 1);
        Assert.Equal("""{"cpu:0":[["mlx5_0"],["mlx5_1"]],"cpu:1":[["mlx5_1"],["mlx5_0"]],"""
            + "\"cuda:0\":[[\"mlx5_1\"],[\"mlx5_0\"]]}", Matrix());
    }

    [Fact]
    public void A_card_below_the_same_host_bridge_is_nearer_to_a_GPU_than_another_of_its_socket()
    {
        _sysfs.Gpu("pci0000:10/0000:10:01.0/0000:11:00.0", 0)
            .Nic("mlx5_0", "pci0000:20/0000:20:01.0/0000:21:00.0", 0)
            .Nic("mlx5_1", "pci0000:10/0000:10:02.0/0000:12:00.0", 0);
        Assert.Equal("""{"cpu:0":[["mlx5_0","mlx5_1"],[]],"cuda:0":[["mlx5_1"],["mlx5_0"]]}""", Matrix());
    }

    [Fact]
    public void Without_NUMA_every_card_is_as_near()
    {
        _sysfs.Gpu("pci0000:00/0000:00:05.0", -1)
            .Nic("mlx5_0", "pci0000:00/0000:00:06.0", -1)
            .Nic("mlx5_1", "pci0000:00/0000:00:07.0", -1);
        Assert.Equal("""{"cpu:0":[["mlx5_0","mlx5_1"],[]],"cuda:0":[["mlx5_0","mlx5_1"],[]]}""", Matrix());
    }

    [Fact]
    public void A_single_card_serves_its_socket_first_and_the_other_all_the_same()
    {
        _sysfs.Node(0, 1).Nic("mlx5_0", "pci0000:10/0000:10:01.0/0000:11:00.0", 1);
        Assert.Equal("""{"cpu:0":[[],["mlx5_0"]],"cpu:1":[["mlx5_0"],[]]}""", Matrix());
    }

    [Fact]
    public void Devices_of_software_are_near_to_everything()
    {
        _sysfs.Node(0, 1).VirtualNic("rxe1").VirtualNic("rxe0").Gpu("pci0000:10/0000:11:00.0", 0);
        Assert.Equal("""{"cpu:0":[["rxe0","rxe1"],[]],"cpu:1":[["rxe0","rxe1"],[]],"cuda:0":[["rxe0","rxe1"],[]]}""",
            Matrix());
    }

    [Fact]
    public void A_host_without_any_device_has_memory()
    {
        Assert.Equal("""{"cpu:0":[[],[]]}""", Matrix());
        Assert.Equal("""{"cpu:0":[[],[]]}""",
            TopologyMatrix.Of(new SysfsReader("/nonexistent/sys").Read()).ToJson());
    }

    [Fact]
    public void GPUs_are_numbered_by_their_bus_and_other_cards_are_none()
    {
        _sysfs.Gpu("pci0000:40/0000:41:00.0", 0, "0x030000").Gpu("pci0000:20/0000:21:00.0", 1)
            .Gpu("pci0000:30/0000:31:00.0", 0, vendor: "0x1002").Gpu("pci0000:30/0000:32:00.0", 0, "0x060400");
        var gpus = new SysfsReader(_sysfs.Root).Read().Gpus;
        Assert.Equal([(0, "0000:21:00.0", 1), (1, "0000:41:00.0", 0)],
            gpus.Select(gpu => (gpu.Index, gpu.Path.Address, gpu.NumaNode)));
    }

    [Fact]
    public void Names_are_ordered_as_people_count()
    {
        foreach (int i in new[] { 10, 2, 0 })
            _sysfs.Nic($"mlx5_{i}", $"pci0000:10/0000:{i + 10:x2}:00.0", 0);
        Assert.Equal(["mlx5_0", "mlx5_2", "mlx5_10"], new SysfsReader(_sysfs.Root).Read().Nics.Select(n => n.Name));
    }

    [Fact]
    public void Devices_are_allowed_and_denied_by_name()
    {
        BigHost();
        var hardware = new SysfsReader(_sysfs.Root).Read();
        var some = hardware.With(["mlx5_1", "mlx5_4", "mlx5_0"], ["mlx5_4"]).Value;
        Assert.Equal(["mlx5_0", "mlx5_1"], some.Nics.Select(nic => nic.Name));
        Assert.Equal(["mlx5_0"], TopologyMatrix.Of(some).For("cuda:0").Preferred);
        Assert.Equal(7, hardware.With([], ["mlx5_3"]).Value.Nics.Count);
    }

    [Theory]
    [InlineData("allowDevices", "mlx5_8", "")]
    [InlineData("denyDevices", "", "mlx4_0")]
    public void A_name_that_no_device_has_is_refused_with_those_there_are(string field, string allow, string deny)
    {
        _sysfs.VirtualNic("rxe0").VirtualNic("rxe1");
        var error = new SysfsReader(_sysfs.Root).Read().With(Names(allow), Names(deny)).Error!;
        Assert.Equal("config:devices", error.Stage);
        Assert.Equal($"{field} has '{allow}{deny}', which is no RDMA device here; there are rxe0, rxe1", error.Message);
    }

    private static string[] Names(string name) => name.Length == 0 ? [] : [name];

    private string Matrix() => TopologyMatrix.Of(new SysfsReader(_sysfs.Root).Read()).ToJson();

    private void BigHost()
    {
        _sysfs.Node(0, 1);
        for (int i = 0; i < 8; i++)
        {
            int socket = i / 4;
            string bridge = $"pci0000:{0x10 + (0x10 * i):x2}/0000:{0x10 + (0x10 * i):x2}:01.0";
            string port = $"{bridge}/0000:{0x11 + (0x10 * i):x2}:00.0";
            _sysfs.Gpu($"{port}/0000:{0x12 + (0x10 * i):x2}:00.0", socket);
            _sysfs.Nic($"mlx5_{i}", $"{port}/0000:{0x13 + (0x10 * i):x2}:00.0", socket);
        }
    }
}
