// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Globalization;
using Mooncake.Mesh.Cuda.Devices;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>Waits for a caller's stream alone: with an event of its own, so that no lane is held meanwhile.</summary>
internal static unsafe class StreamWait
{
    /// <summary>Waits for the work that is on a stream so far.</summary>
    /// <exception cref="CudaException">The driver refuses, or the caller's work has failed.</exception>
    internal static DeviceOutcome Run(CudaDevice device, DeviceOrder order, TimeSpan timeout)
    {
        CudaLibrary library = device.Library;
        using ContextScope scope = device.Context.Enter();
        using CudaHandle mark = CudaHandle.Event(device.Context);
        int result = library.cuEventRecord(mark.Native, order.Stream);
        if (result == CUresult.CUDA_ERROR_INVALID_HANDLE)
        {
            return new DeviceOutcome(DeviceEnd.Failed, new MeshError(MeshErrorCode.InvalidArgument, "device:wait",
                string.Create(CultureInfo.InvariantCulture, $"0x{order.Stream:x} is no stream of {device.Location}")));
        }

        CudaException.ThrowIfFailed(library, result, nameof(library.cuEventRecord));
        DevicePatience patience = device.Lanes.Patience(timeout);
        return patience.ForEvent(library, mark.Native, out result) switch
        {
            WaitEnd.Done => new DeviceOutcome(DeviceEnd.Done),
            WaitEnd.Late => new DeviceOutcome(DeviceEnd.Late, new MeshError(MeshErrorCode.Device, "device:wait",
                string.Create(CultureInfo.InvariantCulture, $"{device.Location}: the work on the caller's stream has "
                + $"not ended within {timeout.TotalMilliseconds:0.###} ms"))),
            _ => throw CudaException.Of(library, result, nameof(library.cuEventQuery)),
        };
    }
}
