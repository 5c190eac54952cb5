// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>An RDMA device of this host.</summary>
/// <param name="Name">The kernel's name, as in "mlx5_0".</param>
/// <param name="NodeGuid">The kernel's node GUID, first byte highest; 0 when only sysfs knows the device.</param>
/// <param name="NotUsableReason">One line why it does not open; null: it opens.</param>
internal sealed record DeviceListing(string Name, ulong NodeGuid, string? NotUsableReason)
{
    private const string VerbsFiles = "/dev/infiniband/uverbs file";
    private const string Allow = "put it in the file's group, or have a udev rule set the file's mode";

    /// <summary>
    /// Every device that the library or sysfs lists, in that order; each is opened and closed once, which takes
    /// milliseconds. Empty without the library.
    /// </summary>
    internal static IReadOnlyList<DeviceListing> All() =>
        LibIbverbs.TryGet(out _) is { } library ? All(library, InfinibandSysfs.Host) : [];

    /// <summary>Names of the devices that the library lists: of those that are being removed no more.</summary>
    internal static IReadOnlyList<string> Names()
    {
        if (LibIbverbs.TryGet(out _) is not { } library)
            return [];
        using var devices = new ListedDevices(library);
        string[] names = new string[devices.Count ?? 0];
        for (int i = 0; i < names.Length; i++)
            names[i] = devices.Name(i);
        return names;
    }

    /// <summary>The same for a given library and a given sysfs.</summary>
    internal static IReadOnlyList<DeviceListing> All(IbverbsLibrary library, InfinibandSysfs sysfs)
    {
        using var devices = new ListedDevices(library);
        var found = new List<DeviceListing>();
        for (int i = 0; i < (devices.Count ?? 0); i++)
            found.Add(Try(devices, i));
        foreach (string name in sysfs.Devices())
        {
            if (!found.Exists(device => device.Name == name))
                found.Add(new DeviceListing(name, 0, Hidden(name, sysfs)));
        }

        return found;
    }

    /// <summary>Why a device that the kernel has is not to be used here.</summary>
    internal static string Hidden(string name) => Hidden(name, InfinibandSysfs.Host);

    /// <summary>Why a device that is listed does not open.</summary>
    internal static string Refusal(string name, int errno) => errno switch
    {
        VerbsException.AccessDenied or VerbsException.NotPermitted =>
            $"{name}: permission denied ({errno}): this user may not read and write its {VerbsFiles}: {Allow}",
        VerbsException.NoSuchFile or VerbsException.NoSuchAddress or VerbsException.NoDevice =>
            Hidden(name),
        _ => $"{name}: ibv_open_device: {VerbsException.Describe(errno)}",
    };

    /// <summary>The library says of a file that may not be opened, too, that it is not there.</summary>
    private static string Hidden(string name, InfinibandSysfs sysfs) => sysfs.VerbsFile(name) is { } file
        && File.Exists(file)
            ? $"{name}: permission denied: this user may not read and write {file}: {Allow}"
            : $"{name}: the kernel has it and its {VerbsFiles} is not here: a container must be given"
                + " /dev/infiniband, unless the device is being removed";

    private static DeviceListing Try(ListedDevices devices, int index)
    {
        string name = devices.Name(index);
        bool opens = devices.Opens(index, out int errno);
        return new DeviceListing(name, devices.NodeGuid(index), opens ? null : Refusal(name, errno));
    }
}
