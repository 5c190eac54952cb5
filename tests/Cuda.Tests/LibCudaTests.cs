// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Cuda.Tests;

public sealed class LibCudaTests : IDisposable
{
    private const string Source = "Double/CudaDouble.c";
    private readonly NativeDouble _double = new();

    public void Dispose() => _double.Dispose();

    [Fact]
    public void No_library_is_said_with_its_path() =>
        Assert.Equal("no library: /nonexistent/libcuda.so.1 cannot be loaded",
            LibCuda.Probe("/nonexistent/libcuda.so.1"));

    [Fact]
    public void A_file_that_is_no_library_is_no_library() =>
        Assert.StartsWith("no library: ", LibCuda.Probe(_double.BuildGarbage()));

    [Fact]
    public void A_missing_symbol_is_named() =>
        Assert.StartsWith("missing symbol cuMemAlloc_v2 in ",
            LibCuda.Probe(_double.Build(Source, "DEVICES=1 NO_MEM_ALLOC")));

    [Theory]
    [InlineData("DEVICES=0", "no device: the CUDA driver sees no GPU")]
    [InlineData("INIT=100", "no device: the CUDA driver sees no GPU")]
    [InlineData("VERSION=10020", "no device: the driver is one for CUDA 10.2; 11.0 or newer is needed")]
    [InlineData("INIT=803 DEVICES=1", "no device: cuInit returned 803")]
    [InlineData("COUNT=3 DEVICES=1", "no device: cuDeviceGetCount returned 3")]
    public void No_device_is_said(string definitions, string reason) =>
        Assert.Equal(reason, LibCuda.Probe(_double.Build(Source, definitions)));

    [Fact]
    public void A_device_is_support() => Assert.Null(LibCuda.Probe(_double.Build(Source, "DEVICES=1")));

    [Fact]
    public void The_public_form_never_throws_and_agrees_with_itself() =>
        Assert.Equal(LibCuda.IsSupported, LibCuda.NotSupportedReason is null);
}
