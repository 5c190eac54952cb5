// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

#pragma warning disable CS8981 // the native names are lower-case

namespace Mooncake.Mesh.Transfer.Interop;

/// <summary>
/// The calls of the C library that the bulk transports stand on, with their native names. All set errno; -1 means
/// failure. Values hold for Linux on x86-64 and arm64.
/// </summary>
internal static unsafe partial class LibC
{
    public const int F_GETFL = 3;
    public const int F_SETFL = 4;
    public const int O_RDONLY = 0;
    public const int O_RDWR = 2;
    public const int O_NONBLOCK = 0x800;
    public const int O_CLOEXEC = 0x80000;

    public const int SOL_SOCKET = 1;
    public const int SO_PEERCRED = 17;
    public const int SO_RCVTIMEO = 20;
    public const int SO_SNDTIMEO = 21;
    public const int SCM_RIGHTS = 1;
    public const int SHUT_RDWR = 2;

    public const int MSG_PEEK = 0x2;
    public const int MSG_CTRUNC = 0x8;
    public const int MSG_DONTWAIT = 0x40;
    public const int MSG_WAITALL = 0x100;
    public const int MSG_NOSIGNAL = 0x4000;
    public const int MSG_CMSG_CLOEXEC = 0x40000000;

    public const short POLLIN = 0x1;
    public const short POLLHUP = 0x10;
    public const short POLLRDHUP = 0x2000;

    public const int EFD_CLOEXEC = 0x80000;

    public const int RLIMIT_MEMLOCK = 8;

    /// <summary>Number of pidfd_open(2), the same on every processor.</summary>
    public const int SYS_pidfd_open = 434;
    public const int FUTEX_WAIT_PRIVATE = 128;
    public const int FUTEX_WAKE_PRIVATE = 129;
    private static readonly int SYS_futex =
        RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 98 : 202;

    public const int ENOENT = 2;
    public const int EINTR = 4;
    public const int ENXIO = 6;
    public const int EAGAIN = 11;
    public const int EACCES = 13;

    /// <summary>https://man7.org/linux/man-pages/man2/fcntl.2.html: depends on the command, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int fcntl(int fd, int cmd, nint arg);

    /// <summary>https://man7.org/linux/man-pages/man2/open.2.html: a new descriptor, or -1.</summary>
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int open(string path, int flags);

    /// <summary>https://man7.org/linux/man-pages/man2/chmod.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int chmod(string path, uint mode);

    /// <summary>https://man7.org/linux/man-pages/man2/close.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);

    /// <summary>https://man7.org/linux/man-pages/man2/setsockopt.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int setsockopt(int sockfd, int level, int optname, void* optval, uint optlen);

    /// <summary>https://man7.org/linux/man-pages/man2/getsockopt.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int getsockopt(int sockfd, int level, int optname, void* optval, uint* optlen);

    /// <summary>
    /// https://man7.org/linux/man-pages/man2/pidfd_open.2.html through syscall(2), as older C libraries have no
    /// wrapper: a new descriptor that becomes readable when the process ends, or -1.
    /// </summary>
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint pidfd_open(nint number, nint pid, nint flags);

    /// <summary>Sleeps while the word has the value, and no longer than the limit; it may wake for nothing.</summary>
    public static void FutexWait(int* word, int value, TimeSpan limit)
    {
        var time = new timespec { tv_sec = limit.Ticks / TimeSpan.TicksPerSecond };
        time.tv_nsec = limit.Ticks % TimeSpan.TicksPerSecond * TimeSpan.NanosecondsPerTick;
        _ = futex(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, limit == Timeout.InfiniteTimeSpan ? null : &time);
    }

    /// <summary>Wakes threads that sleep on the word.</summary>
    public static void FutexWake(int* word, int count) =>
        _ = futex(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, null);

    /// <summary>
    /// https://man7.org/linux/man-pages/man2/futex.2.html through syscall(2), as it is not in the C library: threads
    /// that woke, 0, or -1.
    /// </summary>
    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint futex(nint number, int* word, nint operation, nint value, timespec* limit);

    /// <summary>
    /// https://man7.org/linux/man-pages/man2/move_pages.2.html through syscall(2), as it is not in the C library: 0, or
    /// -1. Without <paramref name="nodes"/> it moves nothing, and says where each page is.
    /// </summary>
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint move_pages(nint number, nint pid, nuint count, nint* pages, int* nodes, int* status,
        nint flags);

    /// <summary>https://man7.org/linux/man-pages/man2/eventfd.2.html: a new descriptor, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int eventfd(uint initval, int flags);

    /// <summary>https://man7.org/linux/man-pages/man2/read.2.html: bytes, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint read(int fd, void* buf, nuint count);

    /// <summary>https://man7.org/linux/man-pages/man2/write.2.html: bytes, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint write(int fd, void* buf, nuint count);

    /// <summary>https://man7.org/linux/man-pages/man2/getrlimit.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int getrlimit(int resource, rlimit* rlim);

    /// <summary>https://man7.org/linux/man-pages/man2/getpid.2.html: never fails; not kept over a fork.</summary>
    [LibraryImport("libc")]
    public static partial int getpid();

    /// <summary>https://man7.org/linux/man-pages/man2/geteuid.2.html: never fails.</summary>
    [LibraryImport("libc")]
    public static partial uint geteuid();

    /// <summary>https://man7.org/linux/man-pages/man2/getegid.2.html: never fails.</summary>
    [LibraryImport("libc")]
    public static partial uint getegid();

    /// <summary>https://man7.org/linux/man-pages/man2/send.2.html: bytes taken, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint send(int sockfd, void* buf, nuint len, int flags);

    /// <summary>https://man7.org/linux/man-pages/man2/recv.2.html: bytes, 0 at the end, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint recv(int sockfd, void* buf, nuint len, int flags);

    /// <summary>https://man7.org/linux/man-pages/man2/sendmsg.2.html: bytes taken, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint sendmsg(int sockfd, msghdr* msg, int flags);

    /// <summary>https://man7.org/linux/man-pages/man2/recvmsg.2.html: bytes, 0 at the end, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint recvmsg(int sockfd, msghdr* msg, int flags);

    /// <summary>
    /// https://man7.org/linux/man-pages/man2/process_vm_readv.2.html: bytes, fewer where a range ends early, or -1.
    /// </summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint process_vm_readv(int pid, iovec* local_iov, nuint liovcnt, iovec* remote_iov,
        nuint riovcnt, nuint flags);

    /// <summary>
    /// https://man7.org/linux/man-pages/man2/process_vm_writev.2.html: bytes, fewer where a range ends early, or -1.
    /// </summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial nint process_vm_writev(int pid, iovec* local_iov, nuint liovcnt, iovec* remote_iov,
        nuint riovcnt, nuint flags);

    /// <summary>https://man7.org/linux/man-pages/man2/shutdown.2.html: 0, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int shutdown(int sockfd, int how);

    /// <summary>https://man7.org/linux/man-pages/man2/poll.2.html: how many are ready, 0 when late, or -1.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int poll(pollfd* fds, nuint nfds, int timeout);
}

/// <summary>sys/time.h, glibc on 64-bit Linux.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct timeval
{
    public long tv_sec;
    public long tv_usec;
}

/// <summary>bits/socket.h: who connected, as the kernel saw it then.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ucred
{
    public int pid;
    public uint uid;
    public uint gid;
}

/// <summary>sys/resource.h: all bits set mean no limit.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct rlimit
{
    public ulong rlim_cur;
    public ulong rlim_max;
}

/// <summary>poll.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct pollfd
{
    public int fd;
    public short events;
    public short revents;
}

/// <summary>sys/uio.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct iovec
{
    public void* iov_base;
    public nuint iov_len;
}

/// <summary>sys/socket.h, glibc on 64-bit Linux.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct msghdr
{
    public void* msg_name;
    public uint msg_namelen;
    public iovec* msg_iov;
    public nuint msg_iovlen;
    public void* msg_control;
    public nuint msg_controllen;
    public int msg_flags;
}

/// <summary>sys/socket.h: followed by its data, 8-byte aligned.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct cmsghdr
{
    public nuint cmsg_len;
    public int cmsg_level;
    public int cmsg_type;
}

/// <summary>time.h, 64-bit Linux.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct timespec
{
    public long tv_sec;
    public long tv_nsec;
}
