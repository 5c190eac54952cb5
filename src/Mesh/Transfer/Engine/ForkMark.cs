// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments.Interop;
using ProcessLibC = Mooncake.Mesh.Transfer.Interop.LibC;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>
/// Says whether this process was forked from the one that asked first: the threads of an engine do not live on in a
/// fork. A page that the kernel empties in forked children tells it without a system call.
/// </summary>
internal static unsafe class ForkMark
{
    private static readonly byte* Page = Make();
    private static readonly int Process = ProcessLibC.getpid();

    /// <summary>Whether this is a forked child.</summary>
    public static bool IsForked => Page is not null ? *Page == 0 : ProcessLibC.getpid() != Process;

    private static byte* Make()
    {
        nint page = LibC.mmap(0, 4096, LibC.PROT_READ | LibC.PROT_WRITE, LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS, -1, 0);
        if (page == LibC.MAP_FAILED)
            return null;
        if (LibC.madvise(page, 4096, LibC.MADV_WIPEONFORK) != 0)
        {
            _ = LibC.munmap(page, 4096);
            return null;
        }

        *(byte*)page = 1;
        return (byte*)page;
    }
}
