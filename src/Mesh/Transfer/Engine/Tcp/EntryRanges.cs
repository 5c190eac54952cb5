// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine.Tcp;

/// <summary>Pieces as ranges of a device, and what is to be thrown away of a connection.</summary>
internal static unsafe class EntryRanges
{
    private const int ScrapBytes = 16 * 1024;

    /// <summary>Where pieces lie here; with a status, those that have it.</summary>
    public static DeviceRange[] Of(ReadOnlySpan<EngineEntry> entries, EntryStatus only = default)
    {
        int count = 0;
        foreach (ref readonly var entry in entries)
            count += only == default || entry.Status == only ? 1 : 0;
        var ranges = new DeviceRange[count];
        count = 0;
        foreach (ref readonly var entry in entries)
        {
            if (only == default || entry.Status == only)
                ranges[count++] = new DeviceRange(entry.Local, entry.Length);
        }

        return ranges;
    }

    /// <summary>Receives bytes that nobody wants; false: the connection broke.</summary>
    public static bool Drain(BlockingSocket socket, long length)
    {
        byte* scrap = stackalloc byte[ScrapBytes];
        for (long left = length; left > 0;)
        {
            long got = socket.Receive(scrap, Math.Min(left, ScrapBytes));
            if (got == 0)
                return false;
            left -= got;
        }

        return true;
    }
}
