// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Verbs.Interop;

/// <summary>
/// Finds and opens libibverbs: the one place that knows its file names, and the raw calls under their native names.
/// The plain name exists only where the development package is installed, so the versioned soname comes first.
/// </summary>
/// <remarks>
/// ibv_post_send, ibv_poll_cq and ibv_req_notify_cq are inline in verbs.h: no library exports them, and they are called
/// through <see cref="ibv_context_ops"/>. ibv_query_port and ibv_reg_mr are macros in C and functions as well: the
/// function behind ibv_query_port fills an older, shorter struct, and the macro ibv_reg_mr turns to ibv_reg_mr_iova2
/// once an optional access flag is asked for, which the function refuses.
/// </remarks>
internal sealed unsafe class IbverbsLibrary
{
    /// <summary>Environment variable that names the library instead.</summary>
    internal const string PathVariable = "MCM_LIBIBVERBS";

    private static readonly string[] Names = ["libibverbs.so.1", "libibverbs.so"];

    private readonly nint _library;
    private string? _missing;

    private IbverbsLibrary(nint library)
    {
        _library = library;
        ibv_get_device_list = (delegate* unmanaged[Cdecl]<int*, void**>)Needed("ibv_get_device_list");
        ibv_free_device_list = (delegate* unmanaged[Cdecl]<void**, void>)Needed("ibv_free_device_list");
        ibv_get_device_name = (delegate* unmanaged[Cdecl]<void*, byte*>)Needed("ibv_get_device_name");
        ibv_get_device_guid = (delegate* unmanaged[Cdecl]<void*, ulong>)Needed("ibv_get_device_guid");
        ibv_open_device = (delegate* unmanaged[Cdecl]<void*, ibv_context*>)Needed("ibv_open_device");
        ibv_close_device = (delegate* unmanaged[Cdecl]<void*, int>)Needed("ibv_close_device");
        ibv_query_device =
            (delegate* unmanaged[Cdecl]<ibv_context*, ibv_device_attr*, int>)Needed("ibv_query_device");
        ibv_query_port =
            (delegate* unmanaged[Cdecl]<ibv_context*, byte, ibv_port_attr*, int>)Needed("ibv_query_port");
        ibv_query_gid = (delegate* unmanaged[Cdecl]<ibv_context*, byte, int, ibv_gid*, int>)Needed("ibv_query_gid");
        ibv_alloc_pd = (delegate* unmanaged[Cdecl]<ibv_context*, ibv_pd*>)Needed("ibv_alloc_pd");
        ibv_dealloc_pd = (delegate* unmanaged[Cdecl]<void*, int>)Needed("ibv_dealloc_pd");
        ibv_reg_mr = (delegate* unmanaged[Cdecl]<ibv_pd*, void*, nuint, int, ibv_mr*>)Needed("ibv_reg_mr");
        ibv_dereg_mr = (delegate* unmanaged[Cdecl]<void*, int>)Needed("ibv_dereg_mr");
        ibv_create_comp_channel =
            (delegate* unmanaged[Cdecl]<ibv_context*, ibv_comp_channel*>)Needed("ibv_create_comp_channel");
        ibv_destroy_comp_channel = (delegate* unmanaged[Cdecl]<void*, int>)Needed("ibv_destroy_comp_channel");
        ibv_create_cq = (delegate* unmanaged[Cdecl]<ibv_context*, int, void*, ibv_comp_channel*, int, ibv_cq*>)
            Needed("ibv_create_cq");
        ibv_destroy_cq = (delegate* unmanaged[Cdecl]<void*, int>)Needed("ibv_destroy_cq");
        ibv_get_cq_event =
            (delegate* unmanaged[Cdecl]<ibv_comp_channel*, ibv_cq**, void**, int>)Needed("ibv_get_cq_event");
        ibv_ack_cq_events = (delegate* unmanaged[Cdecl]<ibv_cq*, uint, void>)Needed("ibv_ack_cq_events");
        ibv_create_qp = (delegate* unmanaged[Cdecl]<ibv_pd*, ibv_qp_init_attr*, ibv_qp*>)Needed("ibv_create_qp");
        ibv_modify_qp = (delegate* unmanaged[Cdecl]<ibv_qp*, ibv_qp_attr*, int, int>)Needed("ibv_modify_qp");
        ibv_query_qp =
            (delegate* unmanaged[Cdecl]<ibv_qp*, ibv_qp_attr*, int, ibv_qp_init_attr*, int>)Needed("ibv_query_qp");
        ibv_destroy_qp = (delegate* unmanaged[Cdecl]<void*, int>)Needed("ibv_destroy_qp");
        ibv_get_async_event =
            (delegate* unmanaged[Cdecl]<ibv_context*, ibv_async_event*, int>)Needed("ibv_get_async_event");
        ibv_ack_async_event = (delegate* unmanaged[Cdecl]<ibv_async_event*, void>)Needed("ibv_ack_async_event");

        ibv_reg_mr_iova2 = (delegate* unmanaged[Cdecl]<ibv_pd*, void*, nuint, ulong, uint, ibv_mr*>)
            Optional("ibv_reg_mr_iova2");
        ibv_reg_dmabuf_mr = (delegate* unmanaged[Cdecl]<ibv_pd*, ulong, nuint, ulong, int, int, ibv_mr*>)
            Optional("ibv_reg_dmabuf_mr");
        _ibv_query_gid_table = (delegate* unmanaged[Cdecl]<ibv_context*, ibv_gid_entry*, nuint, uint, nuint, nint>)
            Optional("_ibv_query_gid_table");
    }

    /// <summary>
    /// Null-terminated array of devices, or null with errno set.
    /// https://man7.org/linux/man-pages/man3/ibv_get_device_list.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, void**> ibv_get_device_list;

    /// <summary>Frees the array; opened devices stay.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void**, void> ibv_free_device_list;

    /// <summary>The device's name, valid while the device is listed or open.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, byte*> ibv_get_device_name;

    /// <summary>The node GUID in network byte order.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, ulong> ibv_get_device_guid;

    /// <summary>
    /// A context, or null when the device cannot be opened.
    /// https://man7.org/linux/man-pages/man3/ibv_open_device.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, ibv_context*> ibv_open_device;

    /// <summary>0, or -1.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, int> ibv_close_device;

    /// <summary>0, or the errno. https://man7.org/linux/man-pages/man3/ibv_query_device.3.html</summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, ibv_device_attr*, int> ibv_query_device;

    /// <summary>
    /// 0, or the errno. Leaves the end of the struct as it was: zero it first.
    /// https://man7.org/linux/man-pages/man3/ibv_query_port.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, byte, ibv_port_attr*, int> ibv_query_port;

    /// <summary>0, or -1. https://man7.org/linux/man-pages/man3/ibv_query_gid.3.html</summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, byte, int, ibv_gid*, int> ibv_query_gid;

    /// <summary>
    /// A protection domain, or null with errno set. https://man7.org/linux/man-pages/man3/ibv_alloc_pd.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, ibv_pd*> ibv_alloc_pd;

    /// <summary>0, or the errno.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, int> ibv_dealloc_pd;

    /// <summary>
    /// A memory region, or null with errno set. https://man7.org/linux/man-pages/man3/ibv_reg_mr.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_pd*, void*, nuint, int, ibv_mr*> ibv_reg_mr;

    /// <summary>0, or the errno.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, int> ibv_dereg_mr;

    /// <summary>
    /// A completion channel, or null with errno set.
    /// https://man7.org/linux/man-pages/man3/ibv_create_comp_channel.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, ibv_comp_channel*> ibv_create_comp_channel;

    /// <summary>0, or the errno: EBUSY while a completion queue is attached.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, int> ibv_destroy_comp_channel;

    /// <summary>
    /// A completion queue, or null with errno set. https://man7.org/linux/man-pages/man3/ibv_create_cq.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, int, void*, ibv_comp_channel*, int, ibv_cq*>
        ibv_create_cq;

    /// <summary>0, or the errno. Waits for every event that was got and is not acknowledged.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, int> ibv_destroy_cq;

    /// <summary>
    /// 0, or -1 with errno set. https://man7.org/linux/man-pages/man3/ibv_get_cq_event.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_comp_channel*, ibv_cq**, void**, int> ibv_get_cq_event;

    /// <summary>Takes a mutex: cheaper for many events at once.</summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_cq*, uint, void> ibv_ack_cq_events;

    /// <summary>
    /// A queue pair, or null with errno set; its capabilities are written back.
    /// https://man7.org/linux/man-pages/man3/ibv_create_qp.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_pd*, ibv_qp_init_attr*, ibv_qp*> ibv_create_qp;

    /// <summary>0, or the errno. https://man7.org/linux/man-pages/man3/ibv_modify_qp.3.html</summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_qp*, ibv_qp_attr*, int, int> ibv_modify_qp;

    /// <summary>0, or the errno. https://man7.org/linux/man-pages/man3/ibv_query_qp.3.html</summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_qp*, ibv_qp_attr*, int, ibv_qp_init_attr*, int> ibv_query_qp;

    /// <summary>0, or the errno. Waits for every asynchronous event of it that is not acknowledged.</summary>
    internal readonly delegate* unmanaged[Cdecl]<void*, int> ibv_destroy_qp;

    /// <summary>
    /// 0, or -1 with errno set. https://man7.org/linux/man-pages/man3/ibv_get_async_event.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, ibv_async_event*, int> ibv_get_async_event;

    /// <summary>Lets go of the object that the event names.</summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_async_event*, void> ibv_ack_async_event;

    /// <summary>
    /// ibv_reg_mr with an address of its own and optional access flags, which it drops where the kernel has none.
    /// Null before rdma-core 28.
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_pd*, void*, nuint, ulong, uint, ibv_mr*> ibv_reg_mr_iova2;

    /// <summary>
    /// Registers a dma-buf: (domain, offset, length, address, descriptor, access). Null before rdma-core 34.
    /// https://man7.org/linux/man-pages/man3/ibv_reg_mr.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_pd*, ulong, nuint, ulong, int, int, ibv_mr*> ibv_reg_dmabuf_mr;

    /// <summary>
    /// Every valid GID of every port at once: how many, or the negative errno. Null before rdma-core 32.
    /// https://man7.org/linux/man-pages/man3/ibv_query_gid_table.3.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<ibv_context*, ibv_gid_entry*, nuint, uint, nuint, nint>
        _ibv_query_gid_table;

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
            var library = new IbverbsLibrary(handle);
            reason = library._missing is null
                ? null
                : $"missing symbol {library._missing} in {name}: rdma-core 17 or newer is needed";
            return reason is null ? library : null;
        }

        reason = string.IsNullOrEmpty(path)
            ? $"no library: {Names[0]} cannot be loaded; install libibverbs1 or name it in {PathVariable}"
            : $"no library: {path} cannot be loaded";
        return null;
    }

    private void* Needed(string symbol)
    {
        void* export = Optional(symbol);
        if (export is null)
            _missing ??= symbol;
        return export;
    }

    private void* Optional(string symbol) =>
        NativeLibrary.TryGetExport(_library, symbol, out nint export) ? (void*)export : null;
}
