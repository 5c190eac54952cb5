// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Transfer.Topology;

/// <summary>Reads the hardware of a host out of its sysfs. What cannot be read is not there.</summary>
/// <param name="root">"/sys", or a folder of the same form.</param>
internal sealed class SysfsReader(string root)
{
    private const string Nvidia = "0x10de";

    /// <summary>Classes of PCI devices that compute: 3D controllers, and graphics cards with a connector.</summary>
    private static readonly string[] GpuClasses = ["0x0302", "0x0300"];

    private static readonly char[] Digits = [.. "0123456789"];

    /// <summary>Reads everything.</summary>
    public HostHardware Read() => new(Nics(), Gpus(), NumaNodes());

    private NicDevice[] Nics() =>
    [
        .. Entries("class/infiniband").Select(entry =>
            new NicDevice(Path.GetFileName(entry), Number($"{entry}/device/numa_node"), PathOf(entry)))
        // "mlx5_2" before "mlx5_10".
        .OrderBy(nic => nic.Name.TrimEnd(Digits), StringComparer.Ordinal).ThenBy(nic => nic.Name.Length)
        .ThenBy(nic => nic.Name, StringComparer.Ordinal),
    ];

    private GpuDevice[] Gpus() =>
    [
        .. Entries("bus/pci/devices").Where(IsGpu)
        .OrderBy(Path.GetFileName, StringComparer.Ordinal)
        .Select((entry, index) => new GpuDevice(index, Number($"{entry}/numa_node"), PathOf(entry))),
    ];

    private int[] NumaNodes()
    {
        int[] nodes =
        [
            .. Entries("devices/system/node")
                .Select(entry => Path.GetFileName(entry))
                .Where(name => name.StartsWith("node", StringComparison.Ordinal))
                .Select(name => int.TryParse(name.AsSpan(4), NumberStyles.None, CultureInfo.InvariantCulture, out int n)
                    ? n : -1)
                .Where(node => node >= 0).Order(),
        ];
        // A kernel without NUMA has no such folder, and memory all the same.
        return nodes.Length == 0 ? [0] : nodes;
    }

    private static bool IsGpu(string entry) =>
        Text($"{entry}/vendor") == Nvidia
        && GpuClasses.Any(kind => Text($"{entry}/class").StartsWith(kind, StringComparison.Ordinal));

    /// <summary>The entries of a folder are links to where the devices are: the link itself is not followed.</summary>
    private static PciPath PathOf(string entry) =>
        System.IO.Directory.ResolveLinkTarget(entry, returnFinalTarget: true) is { } target
            ? PciPath.Parse(target.FullName)
            : PciPath.None;

    private string[] Entries(string folder)
    {
        string path = Path.Combine(root, folder);
        return System.IO.Directory.Exists(path) ? System.IO.Directory.GetDirectories(path) : [];
    }

    private static int Number(string file) =>
        int.TryParse(Text(file), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number)
            ? number
            : -1;

    private static string Text(string file)
    {
        try
        {
            return File.ReadAllText(file).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
