// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>
/// The process that used the library first. In a forked child none of its threads are left. A page that the kernel
/// empties in a child tells: asking for the process's number costs a system call for each call of ours
/// (tests/Native.Tests/c/bench.c: 1.2 us of a call's 1.3).
/// </summary>
internal static unsafe class HostProcess
{
    private const int Page = 4096;
    private static readonly int First = LibC.getpid();
    private static readonly byte* Mark = MakeMark();

    /// <summary>Whether this is a forked child of it.</summary>
    public static bool IsForked => Mark is not null ? *Mark == 0 : LibC.getpid() != First;

    /// <summary>What a forked child is told.</summary>
    public static string ForkedText => $"this process is a forked child of process {First}, which used the library "
        + "before; use it in one of them alone, or start the child anew (multiprocessing: spawn)";

    /// <summary>The page; null: this kernel does not empty pages.</summary>
    private static byte* MakeMark()
    {
        byte* page = (byte*)LibC.mmap(null, Page, LibC.PROT_READ | LibC.PROT_WRITE,
            LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS, -1, 0);
        if (page == (byte*)-1)
            return null;
        if (LibC.madvise(page, Page, LibC.MADV_WIPEONFORK) != 0)
        {
            _ = LibC.munmap(page, Page);
            return null;
        }

        *page = 1;
        return page;
    }
}
