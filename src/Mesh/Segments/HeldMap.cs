// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>
/// Which object begins at a granule of a segment: one pointer a granule (0.2 % of the segment at most), of which only
/// the pages in use take memory. Only under the lock of the store.
/// </summary>
internal sealed unsafe class HeldMap : IDisposable
{
    private readonly long _granules;
    private HeldCell** _cells;

    /// <summary>For a segment of so many bytes.</summary>
    public HeldMap(long length)
    {
        _granules = length / ExtentAllocator.Granule;
        _cells = (HeldCell**)NativePages.Map<nint>(_granules);
    }

    ~HeldMap() => Dispose();

    /// <summary>The object that begins there, or null.</summary>
    public HeldCell* Find(long offset) =>
        _cells is null || offset < 0 || offset % ExtentAllocator.Granule != 0
            || offset / ExtentAllocator.Granule >= _granules
            ? null : _cells[offset / ExtentAllocator.Granule];

    /// <summary>An object, or null for none, begins there. Without effect once disposed.</summary>
    public void Set(long offset, HeldCell* cell)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset / ExtentAllocator.Granule, _granules);
        if (_cells is not null)
            _cells[offset / ExtentAllocator.Granule] = cell;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativePages.Unmap((nint*)_cells, _granules);
        _cells = null;
        GC.SuppressFinalize(this);
    }
}
