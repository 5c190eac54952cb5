// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>The few functions of the C library that a guest needs. Names are the native ones.</summary>
internal static unsafe partial class LibC
{
    public const int RTLD_LAZY = 1;
    public const int RTLD_NOLOAD = 4;
    public const int PROT_READ = 1;
    public const int PROT_WRITE = 2;
    public const int MAP_PRIVATE = 2;
    public const int MAP_ANONYMOUS = 32;
    public const int MADV_WIPEONFORK = 18;

    /// <summary>The process, asked anew each time: what .NET remembers is the parent's after a fork.</summary>
    [LibraryImport("libc")]
    [SuppressGCTransition]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial int getpid();

    /// <summary>The address, or -1.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial void* mmap(void* address, nuint length, int protection, int flags, int fd, long offset);

    /// <summary>0, or -1.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial int munmap(void* address, nuint length);

    /// <summary>0, or -1: the kernel does not know the advice.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial int madvise(void* address, nuint length, int advice);

    /// <summary>Memory that the host may free by our function; null: there is none.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial void* malloc(nuint size);

    /// <summary>Frees what <see cref="malloc"/> gave; null is nothing.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial void free(void* memory);

    /// <summary>Length of a text that ends with a NUL, at most <paramref name="most"/>.</summary>
    [LibraryImport("libc")]
    [SuppressGCTransition]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial nuint strnlen(byte* text, nuint most);

    /// <summary>A handle, or null.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial void* dlopen(byte* file, int flags);

    /// <summary>0, always so for what was only looked up.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial int dlclose(void* handle);

    /// <summary>The symbol, or null.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial void* dlsym(void* handle, byte* symbol);

    /// <summary>Not 0 when the address lies in a loaded object.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial int dladdr(void* address, Dl_info* info);

    /// <summary>What the last call returned.</summary>
    [LibraryImport("libc")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    public static partial int dl_iterate_phdr(delegate* unmanaged[Cdecl]<dl_phdr_info*, nuint, void*, int> each,
        void* data);

    /// <summary>dlfcn.h, glibc 2.34.</summary>
    public struct Dl_info
    {
        public byte* dli_fname;
        public void* dli_fbase;
        public byte* dli_sname;
        public void* dli_saddr;
    }

    /// <summary>The first fields of link.h's struct, glibc 2.34; it is longer.</summary>
    public struct dl_phdr_info
    {
        public nuint dlpi_addr;
        public byte* dlpi_name;
    }
}
