// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using Mooncake.Mesh.Cuda.Copies;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>Takes memory of devices, and says how much there is.</summary>
internal static class DeviceAllocation
{
    private static readonly TimeSpan ZeroingLimit = TimeSpan.FromSeconds(30);

    /// <summary>How full a device is, whose context is entered.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static unsafe MeshResult<DeviceUsage> Usage(CudaDevice device)
    {
        nuint free = 0;
        nuint total = 0;
        CudaException.ThrowIfFailed(device.Library,
            device.Library.cuMemGetInfo_v2(&free, &total), nameof(device.Library.cuMemGetInfo_v2));
        return new DeviceUsage((long)free, (long)total);
    }

    /// <summary>Whether other processes can map its memory; null: there was none to try it with.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static bool? IsShared(CudaDevice device)
    {
        try
        {
            using DeviceBlock probe = DeviceBlock.Take(device, DeviceBlock.Granularity);
            return probe.Share().Succeeded;
        }
        catch (CudaException full) when (full.Result == CUresult.CUDA_ERROR_OUT_OF_MEMORY)
        {
            return null;
        }
    }

    /// <summary>Takes memory of a device, whose context is entered, and fills it with 0.</summary>
    /// <returns>The block; NoSpace with what is free; Device.</returns>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static MeshResult<IDeviceBlock> Take(CudaDevice device, long length)
    {
        DeviceBlock block;
        try
        {
            block = DeviceBlock.Take(device, length);
        }
        catch (CudaException full) when (full.Result == CUresult.CUDA_ERROR_OUT_OF_MEMORY)
        {
            return new MeshError(MeshErrorCode.NoSpace, "device:allocate", string.Create(CultureInfo.InvariantCulture,
                $"{device.Location}: {full.Message}: {length} bytes are wanted, {Usage(device).Value.Free} are free"));
        }

        try
        {
            DeviceOutcome zeroed = DirectCopy.Zero(device, block.Address, DeviceBlock.TakenFor(length), ZeroingLimit);
            if (zeroed.End == DeviceEnd.Done)
                return block;
            block.Dispose();
            return zeroed.Error!;
        }
        catch (CudaException)
        {
            block.Dispose();
            throw;
        }
    }
}
