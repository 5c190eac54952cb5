// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Native.Tests;

/// <summary>
/// Memory of a GPU through the C library, by a double of the CUDA driver: a host process, a node, and what they share.
/// </summary>
[Collection(nameof(NativeMesh))]
public sealed class DeviceTests(NativeMesh mesh) : IDisposable
{
    private readonly NativeDouble _double = new();

    public void Dispose() => _double.Dispose();

    [Theory]
    [InlineData("host", "64MiB")]
    [InlineData("device", "64MiB,location=cuda:0")]
    public async Task A_host_passes_memory_of_its_device_to_a_mesh_in(string where, string segment)
    {
        string driver = _double.Build("../Cuda.Tests/Double/CudaDouble.c", "DEVICES=1");
        var node = await mesh.StartNodeAsync($"{where}-0", segment, new() { ["MCM_LIBCUDA"] = driver },
            "--cluster", where);
        var settings = new Dictionary<string, string>(ProgramTests.Settings)
        {
            ["MCM_LIBCUDA"] = driver,
            ["MOONCAKE_MESH_CLUSTER"] = where,
        };
        var ended = Command.Run(TimeSpan.FromMinutes(3), settings, mesh.Clib.Build("device.c"), node.Endpoint, driver);
        Assert.True(ended.Code == 0, $"exit code {ended.Code}\n{ended.Output}");
        Assert.Equal("ok\n", ended.Standard);
        node.Kill();
    }

    [Fact]
    public void Two_processes_move_memory_of_their_devices_and_outlive_the_loss_of_them()
    {
        string driver = _double.Build("../Cuda.Tests/Double/CudaDouble.c", "DEVICES=1 MEMORY_MIB=512");
        var settings = new Dictionary<string, string>(ProgramTests.Settings) { ["MCM_LIBCUDA"] = driver };
        var ended = Command.Run(TimeSpan.FromMinutes(5), settings,
            mesh.Clib.Build("device_engine.c", "transfer_engine"), driver);
        Assert.True(ended.Code == 0, $"exit code {ended.Code}\n{ended.Output}");
        Assert.Equal("ok\n", ended.Standard);
    }
}
