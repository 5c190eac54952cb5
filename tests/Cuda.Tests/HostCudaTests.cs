// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>A library in a program that may use CUDA, or begin to later.</summary>
public sealed unsafe class HostCudaTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    [Fact]
    public void Cuda_is_used_once_the_program_has_begun_it_and_not_begun_before()
    {
        string path = CudaDouble.Build("");
        using var host = new HostCuda(TimeProvider.System, path);
        byte* bytes = stackalloc byte[16];
        Assert.Null(host.LocationOf(new DeviceRange((nint)bytes, 16)));
        Assert.Empty(host.Devices);
        Assert.False(LoadedLibraries.Has(path));

        // The program loads the driver, and has not begun it.
        nint driver = NativeLibrary.Load(path);
        Assert.Null(host.LocationOf(new DeviceRange((nint)bytes, 16)));
        var refused = host.UsageOf("cuda:0");
        Assert.Equal("device:usage: this process has not begun CUDA (Device)", refused.Error?.ToString());
        Assert.Equal(DeviceEnd.Failed, host.Copy(new DeviceRange(1, 1), 2, default, Long).End);
        Assert.Equal(DeviceEnd.Failed, host.Await("cuda:0", new DeviceOrder(DeviceOrder.DefaultStream), Long).End);

        Assert.Equal(0, ((delegate* unmanaged<uint, int>)NativeLibrary.GetExport(driver, "cuInit"))(0));
        Assert.NotEmpty(host.Devices);
        Assert.Null(host.LocationOf(new DeviceRange((nint)bytes, 16)));
        using var block = host.Allocate("cuda:0", 1 << 20).Value;
        Assert.Equal("cuda:0", host.LocationOf(new DeviceRange(block.Address, block.Length)));
        Assert.True(host.UsageOf("cuda:0").Succeeded);
        Bytes.Is(DeviceEnd.Done, host.Await("cuda:0", new DeviceOrder(DeviceOrder.DefaultStream), Long));
    }

    [Fact]
    public void Of_a_driver_that_does_not_tell_device_memory_nothing_is_a_device_s()
    {
        string path = CudaDouble.Build("VERSION=10020");
        using var host = new HostCuda(TimeProvider.System, path);
        nint driver = NativeLibrary.Load(path);
        Assert.Equal(0, ((delegate* unmanaged<uint, int>)NativeLibrary.GetExport(driver, "cuInit"))(0));
        Assert.Empty(host.Devices);
        Assert.Empty(host.Devices);
    }
}
