// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>Names of devices: "cuda:0".</summary>
internal static class DeviceLocation
{
    /// <summary>Finds a device by its name.</summary>
    /// <returns>Null, or what is wrong with the name.</returns>
    internal static MeshError? Find(string location, DeviceEntry[] entries, out DeviceEntry? entry)
    {
        entry = null;
        foreach (DeviceEntry one in entries)
        {
            if (one.Info.Location == location)
                entry = one;
        }

        return entry is not null ? null : new MeshError(MeshErrorCode.InvalidArgument, "device",
            $"location '{location}' is none of this host's: there are {Known(entries)}");
    }

    /// <summary>All names: "cuda:0 to cuda:7".</summary>
    internal static string Known(DeviceEntry[] entries) => entries switch
    {
        [] => "none",
        [var only] => only.Info.Location,
        [var first, .., var last] => $"{first.Info.Location} to {last.Info.Location}",
    };
}
