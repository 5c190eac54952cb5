// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs;

/// <summary>
/// Whether RDMA verbs can be used here. The library is looked for on first use; nothing throws and nothing is written.
/// <c>MCM_LIBIBVERBS</c> names the library instead of libibverbs.so.1. Thread-safe.
/// </summary>
public static class LibIbverbs
{
    private static readonly Lazy<(IbverbsLibrary? Library, string? Reason)> Loaded = new(Load);

    private static readonly Lazy<string?> Reason =
        new(() => Loaded.Value.Reason ?? ReasonOf(Loaded.Value.Library!, InfinibandSysfs.Host));

    /// <summary>Whether the library is there, complete, and has a device that opens.</summary>
    public static bool IsSupported => Reason.Value is null;

    /// <summary>
    /// Null when supported, else one line that begins with "no library", "missing symbol" or "no device".
    /// </summary>
    public static string? NotSupportedReason => Reason.Value;

    /// <summary>The library, devices or not; null with one line why it cannot be used.</summary>
    internal static IbverbsLibrary? TryGet(out string? reason)
    {
        (IbverbsLibrary? library, reason) = Loaded.Value;
        return library;
    }

    /// <summary>The reason for the library at a path, or null for the usual names; null when supported.</summary>
    internal static string? Probe(string? path, InfinibandSysfs sysfs)
    {
        IbverbsLibrary? library = IbverbsLibrary.TryOpen(path, out string? reason);
        return library is null ? reason : ReasonOf(library, sysfs);
    }

    private static (IbverbsLibrary? Library, string? Reason) Load()
    {
        string? path = Environment.GetEnvironmentVariable(IbverbsLibrary.PathVariable);
        IbverbsLibrary? library = IbverbsLibrary.TryOpen(path, out string? reason);
        return (library, reason);
    }

    private static string? ReasonOf(IbverbsLibrary library, InfinibandSysfs sysfs)
    {
        using var devices = new ListedDevices(library);
        if (devices.Count is null)
            return "no device: the kernel offers no RDMA device list (is ib_uverbs loaded?)";
        if (devices.Count == 0)
        {
            // The library leaves out a device whose file is not here, as in a container that was not given it.
            return sysfs.Devices() is [var hidden, ..]
                ? $"no device: {DeviceListing.Hidden(hidden)}"
                : "no device: this host has no RDMA device";
        }

        string refusals = "";
        for (int i = 0; i < devices.Count; i++)
        {
            if (devices.Opens(i, out int errno))
                return null;
            refusals += $"; {DeviceListing.Refusal(devices.Name(i), errno)}";
        }

        return $"no device: {devices.Count} listed and none opens{refusals}";
    }
}
