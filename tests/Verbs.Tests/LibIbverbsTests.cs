// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Tests;

public sealed class LibIbverbsTests : IDisposable
{
    private const string Source = "VerbsDouble.c";
    private readonly NativeDouble _double = new();

    private readonly string _sysfs = System.IO.Directory.CreateTempSubdirectory("mooncake-mesh-sysfs-").FullName;

    public void Dispose()
    {
        _double.Dispose();
        System.IO.Directory.Delete(_sysfs, recursive: true);
    }

    [Fact]
    public void No_library_is_said_with_its_path()
    {
        string reason = Probe("/nonexistent/libibverbs.so.1")!;
        Assert.Equal("no library: /nonexistent/libibverbs.so.1 cannot be loaded", reason);
    }

    [Fact]
    public void A_file_that_is_no_library_is_no_library() =>
        Assert.StartsWith("no library: ", Probe(_double.BuildGarbage()));

    [Fact]
    public void A_missing_symbol_is_named() =>
        Assert.StartsWith("missing symbol ibv_query_gid in ",
            Probe(_double.Build(Source, "DEVICES=1 NO_QUERY_GID")));

    [Fact]
    public void No_device_is_said() =>
        Assert.Equal("no device: this host has no RDMA device", Probe(_double.Build(Source)));

    [Fact]
    public void A_failing_device_list_is_no_device() =>
        Assert.StartsWith("no device: the kernel", Probe(_double.Build(Source, "NO_LIST")));

    [Fact]
    public void Devices_that_do_not_open_are_no_device_and_each_says_why()
    {
        string reason = Probe(_double.Build(Source, "DEVICES=2 OPEN_ERRNO=EACCES"))!;
        Assert.StartsWith("no device: 2 listed and none opens; double0: permission denied (13): ", reason);
        Assert.Contains("; double1: permission denied (13): ", reason);
    }

    [Fact]
    public void Devices_whose_files_are_not_here_are_named()
    {
        System.IO.Directory.CreateDirectory(Path.Combine(_sysfs, "infiniband", "mlx5_0"));
        Assert.StartsWith("no device: mlx5_0: the kernel has it and its /dev/", Probe(_double.Build(Source)));
    }

    [Fact]
    public void A_device_that_opens_is_support() => Assert.Null(Probe(_double.Build(Source, "DEVICES=1")));

    [Fact]
    public void The_public_form_never_throws_and_agrees_with_itself() =>
        Assert.Equal(LibIbverbs.IsSupported, LibIbverbs.NotSupportedReason is null);

    private string? Probe(string path) => LibIbverbs.Probe(path, new InfinibandSysfs(_sysfs));
}
