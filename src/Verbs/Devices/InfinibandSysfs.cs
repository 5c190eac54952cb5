// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>What sysfs says of RDMA devices, where libibverbs is silent or older.</summary>
/// <param name="root">Usually /sys/class.</param>
internal sealed class InfinibandSysfs(string root)
{
    private readonly string _devices = Path.Combine(root, "infiniband");

    /// <summary>This host's.</summary>
    internal static InfinibandSysfs Host { get; } = new("/sys/class");

    /// <summary>The kernel's devices by name, whether they can be opened here or not.</summary>
    internal IReadOnlyList<string> Devices()
    {
        if (!System.IO.Directory.Exists(_devices))
            return [];
        string[] entries = System.IO.Directory.GetFileSystemEntries(_devices);
        string[] names = Array.ConvertAll(entries, entry => Path.GetFileName(entry));
        Array.Sort(names, StringComparer.Ordinal);
        return names;
    }

    /// <summary>The link layer's name, as in "InfiniBand"; null when it is not said.</summary>
    internal string? LinkLayer(string device, byte port) => ReadPort(device, port, "link_layer");

    /// <summary>The port's rate in bits a second, from a line like "100 Gb/sec (4X EDR)"; null when unknown.</summary>
    internal long? BitsPerSecond(string device, byte port)
    {
        string? line = ReadPort(device, port, "rate");
        int blank = line?.IndexOf(' ') ?? -1;
        if (blank < 0 || !line.AsSpan(blank + 1).StartsWith("Gb/sec"))
            return null;
        return decimal.TryParse(line.AsSpan(0, blank), CultureInfo.InvariantCulture, out decimal gigabits)
            ? (long)(gigabits * 1_000_000_000)
            : null;
    }

    /// <summary>The kind of a GID, as in "RoCE v2"; null for an empty row.</summary>
    internal string? GidType(string device, byte port, int index) =>
        ReadPort(device, port, Path.Combine("gid_attrs", "types", index.ToString(CultureInfo.InvariantCulture)));

    /// <summary>The interface index of the network device behind a GID; 0 when there is none.</summary>
    internal uint GidInterface(string device, byte port, int index)
    {
        string row = Path.Combine("gid_attrs", "ndevs", index.ToString(CultureInfo.InvariantCulture));
        string? network = ReadPort(device, port, row);
        string? number = string.IsNullOrEmpty(network) ? null : Read(Path.Combine(root, "net", network, "ifindex"));
        return uint.TryParse(number, CultureInfo.InvariantCulture, out uint found) ? found : 0;
    }

    /// <summary>The file by which programs open a device; null: the kernel has made none.</summary>
    internal string? VerbsFile(string device)
    {
        string folder = Path.Combine(root, "infiniband_verbs");
        if (!System.IO.Directory.Exists(folder))
            return null;
        foreach (string entry in System.IO.Directory.GetFileSystemEntries(folder))
        {
            if (Read(Path.Combine(entry, "ibdev")) == device)
                return $"/dev/infiniband/{Path.GetFileName(entry)}";
        }

        return null;
    }

    private string? ReadPort(string device, byte port, string file) =>
        Read(Path.Combine(_devices, device, "ports", port.ToString(CultureInfo.InvariantCulture), file));

    /// <summary>A line of sysfs; null without: an empty row's file is there, and reading it is an error.</summary>
    private static string? Read(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllText(path).Trim() : null;
        }
        catch (IOException)
        {
            return null;
        }
        catch (UnauthorizedAccessException)
        {
            return null;
        }
    }
}
