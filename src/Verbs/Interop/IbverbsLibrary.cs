// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Verbs.Interop;

/// <summary>
/// Finds and opens libibverbs: the one place that knows its file names. The plain name exists only where the
/// development package is installed, so the versioned soname comes first.
/// </summary>
internal sealed unsafe class IbverbsLibrary
{
    /// <summary>Environment variable that names the library instead.</summary>
    internal const string PathVariable = "MCM_LIBIBVERBS";

    private static readonly string[] Names = ["libibverbs.so.1", "libibverbs.so"];

    // ibv_post_send, ibv_post_recv, ibv_poll_cq and ibv_req_notify_cq are inline in verbs.h and go through
    // ibv_context.ops: no library exports them, so they are not asked for.
    private static readonly string[] Needed =
    [
        "ibv_get_device_list", "ibv_free_device_list", "ibv_get_device_name", "ibv_open_device", "ibv_close_device",
        "ibv_query_device", "ibv_query_port", "ibv_query_gid", "ibv_alloc_pd", "ibv_dealloc_pd", "ibv_reg_mr",
        "ibv_dereg_mr", "ibv_create_comp_channel", "ibv_destroy_comp_channel", "ibv_create_cq", "ibv_destroy_cq",
        "ibv_get_cq_event", "ibv_ack_cq_events", "ibv_create_qp", "ibv_modify_qp", "ibv_destroy_qp",
        "ibv_get_async_event", "ibv_ack_async_event",
    ];

    private IbverbsLibrary(nint handle)
    {
        ibv_get_device_list = (delegate* unmanaged[Cdecl]<int*, void**>)Export(handle, "ibv_get_device_list");
        ibv_free_device_list = (delegate* unmanaged[Cdecl]<void**, void>)Export(handle, "ibv_free_device_list");
        ibv_open_device = (delegate* unmanaged[Cdecl]<void*, void*>)Export(handle, "ibv_open_device");
        ibv_close_device = (delegate* unmanaged[Cdecl]<void*, int>)Export(handle, "ibv_close_device");
    }

    /// <summary>
    /// Null-terminated array of devices, or null with errno set.
    /// https://man7.org/linux/man-pages/man3/ibv_get_device_list.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, void**> ibv_get_device_list;

    /// <summary>Frees the array; opened devices stay.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void**, void> ibv_free_device_list;

    /// <summary>
    /// A context, or null when the device cannot be opened.
    /// https://man7.org/linux/man-pages/man3/ibv_open_device.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, void*> ibv_open_device;

    /// <summary>0, or -1.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, int> ibv_close_device;

    /// <summary>Opens the library, or says why not. The library stays loaded for the life of the process.</summary>
    /// <param name="path">The file to open alone, or null for the usual names.</param>
    /// <param name="reason">One line for a person when null is returned, else null.</param>
    internal static IbverbsLibrary? TryOpen(string? path, out string? reason)
    {
        string[] names = string.IsNullOrEmpty(path) ? Names : [path];
        foreach (string name in names)
        {
            if (!NativeLibrary.TryLoad(name, out nint handle))
                continue;
            foreach (string symbol in Needed)
            {
                if (NativeLibrary.TryGetExport(handle, symbol, out _))
                    continue;
                reason = $"missing symbol {symbol} in {name}: rdma-core 17 or newer is needed";
                return null;
            }

            reason = null;
            return new IbverbsLibrary(handle);
        }

        reason = string.IsNullOrEmpty(path)
            ? $"no library: {Names[0]} cannot be loaded; install libibverbs1 or name it in {PathVariable}"
            : $"no library: {path} cannot be loaded";
        return null;
    }

    private static void* Export(nint handle, string symbol) => (void*)NativeLibrary.GetExport(handle, symbol);
}
