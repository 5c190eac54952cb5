// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Transfer.Engine.Memory;

/// <summary>
/// A device that registered memory lies on; there is one of these for each, so that references are compared. Nothing
/// follows addresses of such memory: the device's driver moves its bytes. Immutable.
/// </summary>
/// <param name="memory">Who reads and writes it.</param>
/// <param name="location">"cuda:N".</param>
/// <param name="failed">Told of each failure.</param>
internal sealed class RegionDevice(IDeviceMemory memory, string location, Action<MeshError> failed)
{
    /// <summary>"cuda:N".</summary>
    public string Location => location;

    /// <summary>The device itself, without memory: to be flushed.</summary>
    public DeviceBuffer Itself { get; } = new(memory, location, []) { OnFailure = failed };

    /// <summary>Ranges of its memory, as an end of a move.</summary>
    public DeviceBuffer BufferOf(DeviceRange[] ranges) => new(memory, location, ranges) { OnFailure = failed };

    /// <summary>One range of its memory, as an end of a move.</summary>
    public NativeRange RangeOf(nint address, long length) =>
        new(address, length) { Device = BufferOf([new DeviceRange(address, length)]) };
}
