// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

#pragma warning disable CS8981 // the native names are lower-case

namespace Mooncake.Mesh.Cuda.Interop;

/// <summary>Which libraries the process has loaded so far, by the loader's own count.</summary>
internal static unsafe partial class LoadedLibraries
{
    private const int RTLD_LAZY = 1;
    private const int RTLD_NOLOAD = 4;

    /// <summary>How many were loaded in all; it changes with every one more.</summary>
    internal static ulong Loads
    {
        get
        {
            ulong adds = 0;
            _ = dl_iterate_phdr(&First, &adds);
            return adds;
        }
    }

    /// <summary>Whether a library of this name is loaded; where not, that costs a look at the disk.</summary>
    internal static bool Has(string name)
    {
        nint handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
        if (handle == 0)
            return false;
        _ = dlclose(handle);
        return true;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int First(dl_phdr_info* info, nuint size, void* adds)
    {
        if (size >= (nuint)sizeof(dl_phdr_info))
            *(ulong*)adds = info->dlpi_adds;
        return 1;
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint dlopen(string name, int flags);

    [LibraryImport("libc")]
    private static partial int dlclose(nint handle);

    [LibraryImport("libc")]
    private static partial int dl_iterate_phdr(
        delegate* unmanaged[Cdecl]<dl_phdr_info*, nuint, void*, int> each, void* data);

    /// <summary>struct dl_phdr_info of link.h, 64-bit; it is the same in every glibc and in musl.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct dl_phdr_info
    {
        public nint dlpi_addr;
        public byte* dlpi_name;
        public nint dlpi_phdr;
        public ushort dlpi_phnum;
        public ulong dlpi_adds;
        public ulong dlpi_subs;
    }
}
