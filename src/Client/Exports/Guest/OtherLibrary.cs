// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>
/// Finds another copy of this library that is in use in the process: two runtimes side by side can hang each other. The
/// one that is used second refuses. It asks every loaded object for our mark, so that the name and the path of a copy
/// do not matter, and nothing of the process (environment, descriptors, memory) is changed.
/// </summary>
internal static unsafe class OtherLibrary
{
    private static readonly Lock Gate = new();
    private static volatile bool _checked;
    private static volatile bool _used;

    /// <summary>Whether this copy is in use: the answer to another one.</summary>
    public static bool IsUsed => _used;

    /// <summary>Marks this copy as used, or says which other one is.</summary>
    public static string? Claim()
    {
        if (_checked)
            return null;
        lock (Gate)
        {
            if (!_used && Find() is { } other)
                return $"another copy of this library is in use in this process: {other}";
            _used = true;
            _checked = true;
            return null;
        }
    }

    private static string? Find()
    {
        void* own = BaseOf((delegate* unmanaged[Cdecl]<int>)&Mark);
        var names = new List<string>();
        var handle = GCHandle.Alloc(names);
        try
        {
            _ = LibC.dl_iterate_phdr(&Note, (void*)GCHandle.ToIntPtr(handle));
        }
        finally
        {
            handle.Free();
        }

        foreach (string name in names)
        {
            if (IsOther(name, own))
                return name;
        }

        return null;
    }

    private static bool IsOther(string name, void* own)
    {
        byte* text = (byte*)Marshal.StringToCoTaskMemUTF8(name);
        void* library = LibC.dlopen(text, LibC.RTLD_LAZY | LibC.RTLD_NOLOAD);
        Marshal.FreeCoTaskMem((nint)text);
        if (library is null)
            return false;
        void* mark;
        fixed (byte* symbol = "mooncake_mesh_library_in_use\0"u8)
            mark = LibC.dlsym(library, symbol);
        // Found through a library that depends on one of us, too: what counts is where the mark itself lies.
        bool other = mark is not null && BaseOf(mark) != own && ((delegate* unmanaged[Cdecl]<int>)mark)() != 0;
        _ = LibC.dlclose(library);
        return other;
    }

    private static void* BaseOf(void* address)
    {
        LibC.Dl_info info;
        return LibC.dladdr(address, &info) != 0 ? info.dli_fbase : null;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Note(LibC.dl_phdr_info* info, nuint size, void* data)
    {
        if (info->dlpi_name is not null && *info->dlpi_name != 0
            && GCHandle.FromIntPtr((nint)data).Target is List<string> names
            && Marshal.PtrToStringUTF8((nint)info->dlpi_name) is { } name)
            names.Add(name);
        return 0;
    }

    /// <summary>What another copy finds: whether this one is in use.</summary>
    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_library_in_use", CallConvs = [typeof(CallConvCdecl)])]
    private static int Mark() => _used ? 1 : 0;
}
