// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Verbs.Tests;

public sealed class LibIbverbsTests : IDisposable
{
    private const string Source = "VerbsDouble.c";
    private readonly NativeDouble _double = new();

    public void Dispose() => _double.Dispose();

    [Fact]
    public void No_library_is_said_with_its_path()
    {
        string reason = LibIbverbs.Probe("/nonexistent/libibverbs.so.1")!;
        Assert.Equal("no library: /nonexistent/libibverbs.so.1 cannot be loaded", reason);
    }

    [Fact]
    public void A_file_that_is_no_library_is_no_library() =>
        Assert.StartsWith("no library: ", LibIbverbs.Probe(_double.BuildGarbage()));

    [Fact]
    public void A_missing_symbol_is_named() =>
        Assert.StartsWith("missing symbol ibv_query_gid in ",
            LibIbverbs.Probe(_double.Build(Source, "DEVICES=1 NO_QUERY_GID")));

    [Fact]
    public void No_device_is_said() =>
        Assert.Equal("no device: this host has no RDMA device", LibIbverbs.Probe(_double.Build(Source)));

    [Fact]
    public void A_failing_device_list_is_no_device() =>
        Assert.StartsWith("no device: the kernel", LibIbverbs.Probe(_double.Build(Source, "NO_LIST")));

    [Fact]
    public void Devices_that_do_not_open_are_no_device() =>
        Assert.StartsWith("no device: 2 listed", LibIbverbs.Probe(_double.Build(Source, "DEVICES=2 OPENS=0")));

    [Fact]
    public void A_device_that_opens_is_support() => Assert.Null(LibIbverbs.Probe(_double.Build(Source, "DEVICES=1")));

    [Fact]
    public void The_public_form_never_throws_and_agrees_with_itself() =>
        Assert.Equal(LibIbverbs.IsSupported, LibIbverbs.NotSupportedReason is null);
}
