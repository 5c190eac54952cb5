// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Cuda;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Asks the CUDA driver. Takes each device into use for a moment, and 2 MiB of its memory.</summary>
internal static class CudaReader
{
    /// <summary>Asks it.</summary>
    internal static CudaFacts Read()
    {
        MeshResult<CudaMemory> opened = CudaMemory.TryOpen();
        if (opened.Error is { } error)
            return new CudaFacts(error.Message, "", []);
        using CudaMemory memory = opened.Value;
        return new CudaFacts(null, memory.Driver, [.. memory.Devices.Select(device => Of(memory, device))]);
    }

    private static CudaDeviceFacts Of(CudaMemory memory, DeviceInfo device)
    {
        MeshResult<DeviceUsage> usage = memory.UsageOf(device.Location);
        if (usage.Error is { } unusable)
            return new CudaDeviceFacts(device, unusable.Message);
        MeshResult<CudaCapabilities> can = memory.CapabilitiesOf(device.Location);
        return can.Error is { } error
            ? new CudaDeviceFacts(device, error.Message)
            : new CudaDeviceFacts(device, null, usage.Value, can.Value.IsShared, can.Value.HasDmaBuf,
                can.Value.HasBatches);
    }
}
