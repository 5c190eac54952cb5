// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Segments;

/// <summary>Takes the memory of segments that devices have.</summary>
internal static class DeviceSegments
{
    /// <summary>What a segment of all that is free is rounded down to, in bytes: drivers allocate no finer.</summary>
    private const long Unit = 2L * 1024 * 1024;

    /// <summary>Takes it.</summary>
    /// <returns>The block; an error that names the entry of `segments` and what the device said.</returns>
    public static MeshResult<IDeviceBlock> Allocate(int id, SegmentOptions options, MeshRuntime runtime)
    {
        const string Stage = SegmentOptions.Stage;
        if (runtime.Devices is not { } devices)
        {
            return new MeshError(MeshErrorCode.Device, Stage, $"segments[{id}].location is '{options.Location}'; "
                + (runtime.NoDevicesReason ?? "this program uses no devices"));
        }

        long length = MemoryBlock.RoundUp(options.Length, ExtentAllocator.Granule);
        if (options.FreeLess is { } left)
        {
            MeshResult<DeviceUsage> usage = devices.UsageOf(options.Location);
            if (usage.Error is { } unknown)
                return Named(id, unknown);
            length = Math.Min(SegmentOptions.MaxLength, (usage.Value.Free - left) / Unit * Unit);
            if (length <= 0)
            {
                return new MeshError(MeshErrorCode.NoSpace, Stage,
                    $"segments[{id}] is all of {options.Location} that is free, less {left} bytes; "
                    + $"{usage.Value.Free} of its {usage.Value.Total} bytes are free");
            }
        }

        MeshResult<IDeviceBlock> block = devices.Allocate(options.Location, length);
        return block.Error is { } refused
            ? Named(id, refused with { Message = $"{length} bytes of {options.Location}: {refused.Message}" })
            : block;
    }

    private static MeshError Named(int id, MeshError error) =>
        new(error.Code, SegmentOptions.Stage, $"segments[{id}]: {error.Message}");
}
