// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using Mooncake.Mesh.Segments.Interop;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// A number for each granule of a segment, 0 at first, in huge pages where there are any: it is looked up all over, and
/// a walk of the page tables costs as much as a miss. Pages that are never touched cost nothing. Not thread-safe;
/// whoever uses it keeps it alive.
/// </summary>
internal sealed unsafe class EdgeTable
{
    private const int HugePage = 2 << 20;

    private readonly nint _mapped;
    private readonly nuint _mappedBytes;
    private readonly int* _first;
    private readonly int _count;

    /// <param name="count">How many; 0 is legal.</param>
    /// <exception cref="OutOfMemoryException">The process has no room for it.</exception>
    public EdgeTable(int count)
    {
        _count = count;
        nuint bytes = (nuint)count * sizeof(int);
        // A huge page begins at a multiple of its size, and a mapping where the kernel likes.
        nuint slack = bytes >= HugePage ? (nuint)HugePage : 0;
        _mappedBytes = Math.Max(bytes + slack, 1);
        _mapped = LibC.mmap(0, _mappedBytes, LibC.PROT_READ | LibC.PROT_WRITE, LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS,
            -1, 0);
        if (_mapped == LibC.MAP_FAILED)
        {
            _mapped = 0;
            throw new OutOfMemoryException(LibCErrors.Last("memory", $"mmap of {_mappedBytes} bytes").Message);
        }

        nint start = slack == 0 ? _mapped : (_mapped + HugePage - 1) & ~(nint)(HugePage - 1);
        // Where it refuses, ordinary pages do as well.
        if (slack != 0)
            _ = LibC.madvise(start, bytes, LibC.MADV_HUGEPAGE);
        _first = (int*)start;
    }

    ~EdgeTable()
    {
        if (_mapped != 0)
            _ = LibC.munmap(_mapped, _mappedBytes);
    }

    /// <summary>The number of a granule.</summary>
    public ref int this[int granule]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            if ((uint)granule >= (uint)_count)
                ThrowOutside(granule);
            return ref _first[granule];
        }
    }

    private void ThrowOutside(int granule) => throw new ArgumentOutOfRangeException(nameof(granule), granule,
        $"there are {_count} granules");
}
