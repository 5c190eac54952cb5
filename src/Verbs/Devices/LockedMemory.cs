// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>What the process may lock: registered memory and the driver's queues count against it.</summary>
internal static unsafe class LockedMemory
{
    private const string Fix =
        "raise it: LimitMEMLOCK=infinity in the systemd unit, \"ulimit -l unlimited\" in a shell,"
        + " or \"* - memlock unlimited\" in a file of /etc/security/limits.d";

    /// <summary>RLIMIT_MEMLOCK in bytes; null: no limit.</summary>
    internal static long? Limit()
    {
        rlimit limit;
        if (LibC.getrlimit(LibC.RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur > long.MaxValue)
            return null;
        return (long)limit.rlim_cur;
    }

    /// <summary>What to tell who met ENOMEM.</summary>
    /// <param name="bytes">How much was to be locked; null when only the driver knows.</param>
    internal static string Explain(long? bytes)
    {
        string needed = bytes is null ? "the driver's queues have to be locked" : $"{bytes} bytes have to be locked";
        string pinned = Pinned() is { } held ? $", {held} are already" : "";
        return Limit() is { } limit
            ? $"{needed}{pinned}, and the limit (RLIMIT_MEMLOCK) is {limit}: {Fix}"
            : $"{needed}{pinned}; RLIMIT_MEMLOCK sets no limit, so it is the host's or the device's memory that ended";
    }

    /// <summary>Bytes pinned for this process, as the kernel counts them; null when it does not say.</summary>
    private static long? Pinned()
    {
        const string Field = "VmPin:";
        try
        {
            foreach (string line in File.ReadLines("/proc/self/status"))
            {
                if (line.StartsWith(Field, StringComparison.Ordinal))
                    return long.Parse(line.AsSpan(Field.Length, line.Length - Field.Length - 2).Trim(),
                        CultureInfo.InvariantCulture) * 1024;
            }
        }
        catch (IOException)
        {
            return null; // without /proc the sentence stays as good without it
        }

        return null;
    }
}
