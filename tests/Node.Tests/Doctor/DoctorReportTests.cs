// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Text.Json;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Node.Doctor;
using Mooncake.Mesh.Transfer.Topology;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Tests.Doctor;

/// <summary>What is found on hosts that are made up.</summary>
public sealed class DoctorReportTests
{
    private const long GiB = 1L << 30;
    private static readonly Need SixteenGiB = new([(16 * GiB, "cpu:0", true)]);
    private static readonly NicDevice Nic = new("mlx5_0", 0, PciPath.None);
    private static readonly GpuDevice Gpu = new(0, 0, PciPath.None);
    private static readonly DeviceInfo Card = new("cuda:0", "NVIDIA H200", "0000:17:00.0");

    private static readonly GidCandidate IPv4 = GidCandidate.Of(3,
        IPAddress.Parse("::ffff:10.0.0.7").GetAddressBytes(), GidType.RoceV2);

    private static readonly PortFacts Port = new(1, "ACTIVE", false, 16, [IPv4], "eth0", 9000);

    /// <summary>A host on which everything is as it should be.</summary>
    private static readonly HostFacts Good = new()
    {
        MemoryBytes = 64 * GiB,
        FreeHugePages = 8192,
        KernelRelease = "6.1.0-28-amd64",
        HasPeerMemory = true,
        Hardware = new HostHardware([Nic], [Gpu], [0]),
        Rdma = [Device(Port)],
        Verbs = new VerbsFacts(null, new Dictionary<string, long> { ["mlx5_0"] = 64 * GiB }),
        Cuda = new CudaFacts(null, "libcuda.so.1, CUDA 12.8",
            [new CudaDeviceFacts(Card, null, new DeviceUsage(70 * GiB, 80 * GiB), true, true, true)]),
    };

    [Fact]
    public void A_good_host_has_neither_problems_nor_notes()
    {
        var report = new DoctorReport(Good, SixteenGiB);
        Assert.Equal(0, report.Problems);
        Assert.All(report.Findings, finding => Assert.Equal((FindingLevel.Ok, null), (finding.Level, finding.Fix)));
        Assert.Equal("Ethernet, active; GID 3 10.0.0.7 (RoCE v2, IPv4)", Single(report, "mlx5_0 port 1").Text);
        Assert.Equal("/dev/infiniband/uverbs0 opens; a memory region has at most 64 GiB",
            Single(report, "mlx5_0").Text);
    }

    [Fact]
    public void A_host_without_RDMA_and_GPU_has_no_problem()
    {
        var report = new DoctorReport(Good with
        {
            Hardware = new HostHardware([], [], [0]),
            Rdma = [],
            MemlockBytes = 8 << 20,
            Verbs = new VerbsFacts("no library: x", new Dictionary<string, long>()),
        }, SixteenGiB);
        Assert.Equal(0, report.Problems);
        Assert.Equal("no library: x; large values go over tcp", Single(report, "verbs").Text);
    }

    [Theory]
    [InlineData(16 * GiB, false, FindingLevel.Ok)]
    [InlineData((16 * GiB) - 1, false, FindingLevel.Problem)]
    [InlineData(8 << 20, true, FindingLevel.Note)]
    public void Locked_memory_must_suffice_for_all_segments(long limit, bool ignored, object level)
    {
        var finding = Single(Good with { MemlockBytes = limit, IgnoresMemlock = ignored }, "memlock");
        Assert.Equal(level, finding.Level);
        Assert.Contains("the segments need 16 GiB", finding.Text);
        Assert.Equal(finding.Level != FindingLevel.Ok, finding.Fix?.Contains("LimitMEMLOCK=infinity") ?? false);
    }

    [Fact]
    public void Segments_must_fit_the_memory()
    {
        var finding = Single(Good with { MemoryBytes = 8 * GiB }, "memory");
        Assert.Equal(new Finding(FindingLevel.Problem, "memory", "8 GiB; the segments need 16 GiB",
            "make the segments smaller"), finding);
    }

    [Fact]
    public void Huge_pages_that_are_lacking_are_noted_with_their_number() =>
        Assert.Equal("sysctl vm.nr_hugepages=8192", Note(Good with { FreeHugePages = 8191 }, "huge pages").Fix);

    [Fact]
    public void A_segment_at_a_NUMA_node_that_is_not_there_is_a_problem()
    {
        var findings = new DoctorReport(Good, new Need([(GiB, "cpu:2", true)])).Findings;
        Assert.Contains(findings, finding => finding.Level == FindingLevel.Problem
            && finding.Text == "a segment of 1 GiB is wanted at cpu:2; there are cpu:0");
    }

    [Fact]
    public void A_NUMA_node_without_a_segment_is_noted()
    {
        var report = new DoctorReport(Good with { Hardware = new HostHardware([Nic], [], [0, 1]) }, SixteenGiB);
        Assert.Contains(report.Findings, f => f.Level == FindingLevel.Note && f.Text == "no segment is at cpu:1");
    }

    [Theory]
    [InlineData(0, false, FindingLevel.Ok)]
    [InlineData(1, true, FindingLevel.Ok)]
    [InlineData(1, false, FindingLevel.Note)]
    [InlineData(3, true, FindingLevel.Note)]
    public void Ptrace_is_looked_at(int scope, bool ignored, object level) => Assert.Equal(level,
        Single(Good with { PtraceScope = scope, IgnoresPtraceScope = ignored }, "ptrace").Level);

    [Theory]
    [InlineData("Missing", "docker: --device /dev/infiniband")]
    [InlineData("Refused", "DeviceAllow=char-infiniband_verbs rw")]
    [InlineData("NoDriver", "modprobe ib_uverbs")]
    public void A_device_that_cannot_be_reached_is_a_problem(string access, string fix)
    {
        var device = Device(Port) with { Access = Enum.Parse<DeviceAccess>(access) };
        Assert.Contains(fix, Problem(Good with { Rdma = [device] }, "mlx5_0").Fix);
    }

    [Fact]
    public void A_missing_library_is_a_problem_where_there_are_devices() =>
        Assert.Equal("install libibverbs1 and ibverbs-providers", Problem(Good with
        {
            Verbs = new VerbsFacts("no library: x", new Dictionary<string, long>()),
        }, "verbs").Fix);

    [Fact]
    public void A_region_limit_below_the_longest_segment_is_noted() =>
        Assert.Equal("make several segments of at most 2 GiB", Note(Good with
        {
            Verbs = new VerbsFacts(null, new Dictionary<string, long> { ["mlx5_0"] = 2 * GiB }),
        }, "mlx5_0").Fix);

    [Fact]
    public void A_port_that_is_down_is_a_problem_unless_another_is_active()
    {
        var down = Port with { State = "DOWN" };
        var alone = Problem(Good with { Rdma = [Device(down)] }, "mlx5_0 port 1");
        Assert.Equal(("Ethernet, DOWN", "see to its cable, and 'ip link set eth0 up'"), (alone.Text, alone.Fix));
        Assert.Equal("Ethernet, DOWN",
            Note(Good with { Rdma = [Device(down, Port with { Number = 2 })] }, "mlx5_0 port 1").Text);
    }

    [Fact]
    public void A_port_without_an_address_is_a_problem() =>
        Assert.Equal("ip address add ADDRESS/LENGTH dev eth0",
            Problem(Good with { Rdma = [Device(Port with { Gids = [] })] }, "mlx5_0 port 1").Fix);

    [Fact]
    public void A_small_MTU_is_noted()
    {
        var report = new DoctorReport(Good with { Rdma = [Device(Port with { InterfaceMtu = 1500 })] }, SixteenGiB);
        Assert.Contains(report.Findings, finding => finding.Level == FindingLevel.Note
            && finding.Fix == "ip link set eth0 mtu 9000, where switches and peers have it too");
    }

    [Theory]
    [InlineData(false, true, "6.1.0", FindingLevel.Ok, "by dma-buf")]
    [InlineData(true, false, "5.4.0", FindingLevel.Ok, "by nvidia_peermem")]
    [InlineData(false, true, "5.11.9", FindingLevel.Problem, "needs Linux 5.12 (this is 5.11.9)")]
    [InlineData(false, false, "6.1.0", FindingLevel.Problem, "(this is not it)")]
    public void GPU_memory_is_reached_by_one_of_two_ways(bool peer, bool open, string kernel, object level, string text)
    {
        var finding = Single(
            Good with { HasPeerMemory = peer, HasOpenGpuDriver = open, KernelRelease = kernel }, "gpu");
        Assert.Equal(level, finding.Level);
        Assert.Contains(text, finding.Text);
    }

    [Fact]
    public void Each_GPU_of_the_driver_is_described()
    {
        var report = new DoctorReport(Good, SixteenGiB);
        Assert.Equal("libcuda.so.1, CUDA 12.8", Single(report, "cuda").Text);
        Assert.Equal("NVIDIA H200 at 0000:17:00.0; 70 GiB of 80 GiB free; IPC yes, dma-buf yes, batch copies yes",
            Single(report, "cuda:0").Text);
    }

    [Fact]
    public void A_GPU_that_the_driver_does_not_open_is_a_problem()
    {
        var finding = Problem(Good with
        {
            Cuda = Good.Cuda with { Devices = [new CudaDeviceFacts(Card with { PciAddress = "" }, "cuda:0: why")] },
        }, "cuda:0");
        Assert.Equal("NVIDIA H200: cuda:0: why", finding.Text);
        Assert.Contains("nvidia-smi", finding.Fix);
    }

    [Fact]
    public void A_host_without_CUDA_is_told_the_reason_and_only_one_with_a_GPU_has_a_problem()
    {
        var without = Good with { Cuda = new CudaFacts("no library: x", "", []) };
        Assert.Equal("no library: x", Problem(without, "cuda").Text);
        var note = Note(without with { Hardware = new HostHardware([Nic], [], [0]) }, "cuda");
        Assert.Equal(("no library: x", null), (note.Text, note.Fix));
    }

    [Fact]
    public void The_report_shows_levels_fixes_GIDs_and_rails()
    {
        string[] lines = [.. new DoctorReport(Good with { FreeHugePages = 0 }, SixteenGiB).Lines()];
        Assert.Contains("note     huge pages      0 of 2 MiB are free; the segments could use 8192, and use ordinary "
            + "pages instead", lines);
        Assert.Contains("                         fix: sysctl vm.nr_hugepages=8192", lines);
        Assert.Contains("gid      mlx5_0 port 1     3 RoCE v2    10.0.0.7  <- used", lines);
        Assert.Contains("rails    cuda:0          mlx5_0; then none", lines);
        Assert.Equal("no problems", lines[^1]);
    }

    [Fact]
    public void A_port_that_is_down_uses_no_GID()
    {
        var down = Device(Port, Port with { Number = 2, State = "DOWN" });
        string[] lines = [.. new DoctorReport(Good with { Rdma = [down] }, SixteenGiB).Lines()];
        Assert.Contains("gid      mlx5_0 port 2     3 RoCE v2    10.0.0.7", lines);
    }

    [Fact]
    public void The_report_is_JSON_too()
    {
        var terminal = new TestTerminal();
        terminal.Terminal.WriteJson(new DoctorReport(Good with { MemoryBytes = GiB }, SixteenGiB).Write);
        JsonElement json = JsonDocument.Parse(terminal.Output).RootElement;
        Assert.Equal(1, json.GetProperty("problems").GetInt32());
        Assert.Equal("problem", json.GetProperty("findings")[0].GetProperty("level").GetString());
        Assert.Equal(3, json.GetProperty("ports")[0].GetProperty("gid").GetInt32());
        Assert.Equal("mlx5_0", json.GetProperty("topology").GetProperty("cpu:0")[0][0].GetString());
    }

    [Fact]
    public async Task The_command_ends_with_1_where_there_is_a_problem()
    {
        var terminal = new TestTerminal();
        Assert.Equal(1, await terminal.RunAsync("doctor", "--json", "--segments", "64MiB,location=cpu:1023"));
        Assert.Contains("is wanted at cpu:1023", terminal.Output);
        Assert.Empty(terminal.Error);
    }

    [Fact]
    public async Task The_command_refuses_segments_that_are_none()
    {
        var terminal = new TestTerminal();
        Assert.Equal(2, await terminal.RunAsync("doctor", "--segments", "much"));
        Assert.Contains("'much' is no size", terminal.Error);
    }

    private static RdmaFacts Device(params PortFacts[] ports) =>
        new("mlx5_0", "/dev/infiniband/uverbs0", DeviceAccess.Opens, ports);

    private static Finding Problem(HostFacts facts, string subject) => At(FindingLevel.Problem, facts, subject);

    private static Finding Note(HostFacts facts, string subject) => At(FindingLevel.Note, facts, subject);

    private static Finding At(FindingLevel level, HostFacts facts, string subject)
    {
        var finding = Single(facts, subject);
        Assert.Equal(level, finding.Level);
        return finding;
    }

    private static Finding Single(HostFacts facts, string subject) =>
        Single(new DoctorReport(facts, SixteenGiB), subject);

    private static Finding Single(DoctorReport report, string subject) =>
        Assert.Single(report.Findings, finding => finding.Subject == subject);
}
