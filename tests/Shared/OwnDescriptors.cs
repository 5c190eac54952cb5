// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.TestSupport;

/// <summary>What this process has open; what is closed while it is looked at is left out.</summary>
internal static class OwnDescriptors
{
    /// <summary>Each descriptor with what it leads to, as the kernel names it: "socket:[123]", a path.</summary>
    internal static List<(int Number, string Target)> Now()
    {
        var open = new List<(int Number, string Target)>();
        foreach (string link in System.IO.Directory.GetFiles("/proc/self/fd"))
        {
            try
            {
                if (File.ResolveLinkTarget(link, false)?.Name is { } target)
                    open.Add((int.Parse(Path.GetFileName(link), CultureInfo.InvariantCulture), target));
            }
            catch (IOException)
            {
                continue;
            }
        }

        return open;
    }
}
