// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>
/// The border: what the driver throws below becomes a result here, and a lost or closed device is refused without a
/// call.
/// </summary>
internal static class DeviceCalls
{
    /// <summary>Makes calls in the context of a device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="what">What is done: the second part of an error's stage.</param>
    /// <param name="state">What the calls need.</param>
    /// <param name="calls">The calls.</param>
    internal static MeshResult<T> Run<TState, T>(
        CudaDevice device, string what, TState state, Func<TState, MeshResult<T>> calls)
    {
        if (device.Loss.Error is { } lost)
            return lost;
        try
        {
            using ContextScope scope = device.Context.Enter();
            return calls(state);
        }
        catch (CudaException refused)
        {
            return Error(what, device.Location, refused);
        }
        catch (ObjectDisposedException)
        {
            return Closed(what, device.Location);
        }
    }

    /// <summary>What is said when the driver refuses.</summary>
    internal static MeshError Error(string what, string location, CudaException refused) =>
        new(MeshErrorCode.Device, $"device:{what}", $"{location}: {refused.Message}");

    /// <summary>What is said when the memory of devices has been closed.</summary>
    internal static MeshError Closed(string what, string location) =>
        new(MeshErrorCode.Closed, $"device:{what}", $"{location} has been closed");
}
