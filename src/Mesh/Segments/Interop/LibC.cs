// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Segments.Interop;

/// <summary>
/// The calls of the C library that segments stand on, with their native names. All set errno; -1 (or
/// <see cref="MAP_FAILED"/>) means failure. Values hold for Linux on x86-64 and arm64.
/// </summary>
internal static unsafe partial class LibC
{
    public const uint MFD_CLOEXEC = 0x1;
    public const uint MFD_ALLOW_SEALING = 0x2;
    public const uint MFD_HUGETLB = 0x4;

    public const int F_DUPFD_CLOEXEC = 1030;
    public const int F_ADD_SEALS = 1033;
    public const int F_GET_SEALS = 1034;
    public const int F_SEAL_SEAL = 0x1;
    public const int F_SEAL_SHRINK = 0x2;
    public const int F_SEAL_GROW = 0x4;

    public const int PROT_READ = 0x1;
    public const int PROT_WRITE = 0x2;
    public const int MAP_SHARED = 0x1;
    public const int MAP_PRIVATE = 0x2;
    public const int MAP_ANONYMOUS = 0x20;
    public const int MAP_POPULATE = 0x8000;
    public const nint MAP_FAILED = -1;

    public const int MADV_DONTFORK = 10;
    public const int MADV_HUGEPAGE = 14;
    public const int MADV_WIPEONFORK = 18;
    public const int MADV_POPULATE_WRITE = 23;

    public const int MPOL_PREFERRED = 1;

    public const int O_RDONLY = 0;
    public const int O_CLOEXEC = 0x80000;
    public const int SEEK_END = 2;

    public const int EINVAL = 22;

    /// <summary>https://man7.org/linux/man-pages/man2/memfd_create.2.html: a new descriptor, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int memfd_create(byte* name, uint flags);

    /// <summary>https://man7.org/linux/man-pages/man2/ftruncate.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int ftruncate(int fd, long length);

    /// <summary>https://man7.org/linux/man-pages/man2/fcntl.2.html: depends on the command, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int fcntl(int fd, int cmd, long arg);

    /// <summary>https://man7.org/linux/man-pages/man2/fchmod.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int fchmod(int fd, uint mode);

    /// <summary>https://man7.org/linux/man-pages/man2/lseek.2.html: the new position, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial long lseek(int fd, long offset, int whence);

    /// <summary>https://man7.org/linux/man-pages/man2/open.2.html: a new descriptor, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int open(byte* path, int flags, uint mode);

    /// <summary>https://man7.org/linux/man-pages/man2/close.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);

    /// <summary>https://man7.org/linux/man-pages/man2/mmap.2.html: the address, or MAP_FAILED.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint mmap(nint addr, nuint length, int prot, int flags, int fd, long offset);

    /// <summary>https://man7.org/linux/man-pages/man2/munmap.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int munmap(nint addr, nuint length);

    /// <summary>https://man7.org/linux/man-pages/man2/madvise.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int madvise(nint addr, nuint length, int advice);

    /// <summary>
    /// https://man7.org/linux/man-pages/man2/mbind.2.html through syscall(2), as libnuma may be absent: 0, or -1.
    /// </summary>
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint mbind(
        nint number, nint addr, nuint length, nint mode, ulong* nodemask, nuint maxnode, nuint flags);

    /// <summary>The number of mbind(2), or -1 on a processor we do not know.</summary>
    public static nint SYS_mbind => RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 237,
        Architecture.Arm64 => 235,
        _ => -1,
    };
}
