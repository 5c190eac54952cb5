// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs;

/// <summary>
/// Whether RDMA verbs can be used here. The library is looked for on first use; nothing throws and nothing is written.
/// <c>MCM_LIBIBVERBS</c> names the library instead of libibverbs.so.1. Thread-safe.
/// </summary>
public static class LibIbverbs
{
    private static readonly Lazy<string?> Reason =
        new(() => Probe(Environment.GetEnvironmentVariable(IbverbsLibrary.PathVariable)));

    /// <summary>Whether the library is there, complete, and has a device that opens.</summary>
    public static bool IsSupported => Reason.Value is null;

    /// <summary>
    /// Null when supported, else one line that begins with "no library", "missing symbol" or "no device".
    /// </summary>
    public static string? NotSupportedReason => Reason.Value;

    /// <summary>The reason for the library at <paramref name="path"/>; null: the usual names, and supported.</summary>
    internal static unsafe string? Probe(string? path)
    {
        IbverbsLibrary? library = IbverbsLibrary.TryOpen(path, out string? reason);
        if (library is null)
            return reason;

        int count = 0;
        void** devices = library.ibv_get_device_list(&count);
        if (devices is null)
            return "no device: the kernel offers no RDMA device list (is ib_uverbs loaded?)";

        int opened = 0;
        for (int i = 0; i < count && opened == 0; i++)
        {
            void* context = library.ibv_open_device(devices[i]);
            if (context is null)
                continue;
            opened++;
            _ = library.ibv_close_device(context);
        }

        library.ibv_free_device_list(devices);
        if (count == 0)
            return "no device: this host has no RDMA device";
        return opened > 0
            ? null
            : $"no device: {count} listed and none opens (is /dev/infiniband visible and permitted here?)";
    }
}
