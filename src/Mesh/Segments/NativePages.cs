// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments.Interop;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Pages of the kernel's own for tables, off the garbage-collected heap. The C library would keep them, once freed, for
/// the thread that asked for them: in a host that opens and closes nodes they add up.
/// </summary>
internal static unsafe class NativePages
{
    private const int HugePage = 2 << 20;

    /// <summary>Pages that are zero; only those that are written take memory.</summary>
    /// <param name="bytes">How many bytes.</param>
    /// <param name="alignment">What the address is a multiple of: a power of two.</param>
    /// <exception cref="OutOfMemoryException">The kernel refuses.</exception>
    public static nint Map(long bytes, long alignment)
    {
        long page = Environment.SystemPageSize;
        long length = RoundUp(bytes, page);
        long slack = Math.Max(alignment, page) - page;
        nint address = LibC.mmap(0, (nuint)(length + slack), LibC.PROT_READ | LibC.PROT_WRITE,
            LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS, -1, 0);
        if (address == LibC.MAP_FAILED)
            throw new OutOfMemoryException($"mmap of {length + slack} bytes");
        long before = RoundUp(address, alignment) - address;
        if (before > 0)
            Unmap(address, before);
        if (slack > before)
            Unmap((nint)(address + before + length), slack - before);
        return (nint)(address + before);
    }

    /// <summary>Pages that are zero, for so many elements.</summary>
    /// <exception cref="OutOfMemoryException">The kernel refuses.</exception>
    public static T* Map<T>(long elements)
        where T : unmanaged => (T*)Map(BytesOf<T>(elements), Environment.SystemPageSize);

    /// <summary>
    /// The same, as huge pages where there is one's fill: a table that is read here and there costs a walk of the page
    /// tables each time.
    /// </summary>
    /// <exception cref="OutOfMemoryException">The kernel refuses.</exception>
    public static T* MapHuge<T>(long elements)
        where T : unmanaged => (T*)MapHuge(BytesOf<T>(elements));

    /// <summary>The same, so many bytes, aligned to a huge page where there is one's fill.</summary>
    /// <exception cref="OutOfMemoryException">The kernel refuses.</exception>
    public static nint MapHuge(long bytes)
    {
        nint address = Map(bytes, bytes >= HugePage ? HugePage : 1);
        // Where it refuses, ordinary pages do as well.
        if (bytes >= HugePage)
            _ = LibC.madvise(address, (nuint)bytes, LibC.MADV_HUGEPAGE);
        return address;
    }

    /// <summary>Gives pages back.</summary>
    /// <param name="address">What <see cref="Map(long, long)"/> gave; 0: nothing happens.</param>
    /// <param name="bytes">What it was asked for.</param>
    public static void Unmap(nint address, long bytes)
    {
        // With arguments that were legal, it fails where the process has as many mappings as it may: they stay.
        if (address != 0)
            _ = LibC.munmap(address, (nuint)RoundUp(bytes, Environment.SystemPageSize));
    }

    /// <summary>Gives pages for so many elements back.</summary>
    public static void Unmap<T>(T* table, long elements)
        where T : unmanaged => Unmap((nint)table, BytesOf<T>(elements));

    private static long BytesOf<T>(long elements)
        where T : unmanaged => Math.Max(1, checked(elements * sizeof(T)));

    private static long RoundUp(long value, long unit) => (value + unit - 1) & -unit;
}
