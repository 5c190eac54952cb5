// SPDX-License-Identifier: Apache-2.0

using System.Text.RegularExpressions;

namespace Mooncake.Mesh.Transfer.Topology;

/// <summary>The bridges from a host bridge down to a device, both included; empty: not on a PCI bus.</summary>
/// <param name="Steps">"pci0000:17", "0000:17:01.0", "0000:18:00.0".</param>
internal sealed partial record PciPath(IReadOnlyList<string> Steps)
{
    /// <summary>Nowhere.</summary>
    public static readonly PciPath None = new([]);

    /// <summary>The bus address of the device itself; empty: there is none.</summary>
    public string Address => Steps.Count == 0 ? "" : Steps[^1];

    /// <summary>Takes the steps out of a path below /sys/devices, whatever else is in it.</summary>
    public static PciPath Parse(string devicePath) =>
        new([.. devicePath.Split('/').Where(part => Step().IsMatch(part))]);

    /// <summary>Links between two devices: 0 to itself.</summary>
    /// <returns>Null when no host bridge has both below it.</returns>
    public int? DistanceTo(PciPath other)
    {
        int common = 0;
        while (common < Math.Min(Steps.Count, other.Steps.Count) && Steps[common] == other.Steps[common])
            common++;
        return common == 0 ? null : Steps.Count - common + (other.Steps.Count - common);
    }

    [GeneratedRegex("^(pci)?[0-9a-f]{4,8}:[0-9a-f]{2}(:[0-9a-f]{2}\\.[0-7])?$")]
    private static partial Regex Step();
}
