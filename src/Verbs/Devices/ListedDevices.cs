// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>The devices that libibverbs lists, for the time of a search.</summary>
internal sealed unsafe class ListedDevices : IDisposable
{
    private readonly IbverbsLibrary _library;
    private void** _devices;

    internal ListedDevices(IbverbsLibrary library)
    {
        int count = 0;
        _library = library;
        _devices = library.ibv_get_device_list(&count);
        Count = _devices is null ? null : count;
    }

    /// <summary>How many; null when the kernel gives no list.</summary>
    internal int? Count { get; }

    public void Dispose()
    {
        if (_devices is not null)
            _library.ibv_free_device_list(_devices);
        _devices = null;
    }

    internal string Name(int index) => Marshal.PtrToStringUTF8((nint)_library.ibv_get_device_name(_devices[index]))!;

    /// <summary>The node GUID the kernel gives the device, its first byte the highest.</summary>
    internal ulong NodeGuid(int index) =>
        BinaryPrimitives.ReverseEndianness(_library.ibv_get_device_guid(_devices[index]));

    /// <summary>The names, as a person reads them.</summary>
    internal string Names()
    {
        var names = new string[Count ?? 0];
        for (int i = 0; i < names.Length; i++)
            names[i] = Name(i);
        return names.Length == 0 ? "none" : string.Join(", ", names);
    }

    /// <summary>Whether the device opens, else the error number, which may be 0; it is closed again.</summary>
    internal bool Opens(int index, out int errno)
    {
        ibv_context* context = Open(index, out errno);
        if (context is not null)
            _ = _library.ibv_close_device(context);
        return context is not null;
    }

    /// <summary>Opens the device; null with the error number, which may be 0.</summary>
    internal ibv_context* Open(int index, out int errno)
    {
        // Not every way to fail inside the library sets errno: an older value must not be taken for a reason.
        Marshal.SetLastSystemError(0);
        ibv_context* context = _library.ibv_open_device(_devices[index]);
        errno = context is null ? Marshal.GetLastSystemError() : 0;
        return context;
    }
}
