// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Hands out ranges of a segment, in granules of 4,096 bytes, by best fit; a freed range joins its neighbours at once.
/// Only offsets: no byte of the segment is touched. Not thread-safe: its store has the lock.
/// </summary>
/// <remarks>
/// Holes sit in bins: below 256 MiB one bin a size, so the best fit is the first of the next bin in use; above, one
/// bin per 256 MiB, searched through, of which there are at most as many holes as the segment has 256 MiB.
/// Each hole's first and last granule point at its node, which is how neighbours are found.
/// </remarks>
public sealed class ExtentAllocator
{
    /// <summary>Unit of allocation, in bytes.</summary>
    public const int Granule = 4096;

    private const int GranuleShift = 12;
    private const int ExactBins = 1 << CoarseShift;
    private const int CoarseShift = 16;
    private const int None = -1;

    private readonly int _granules;
    private readonly int[] _edges;
    private readonly int[] _bins;
    private readonly BinMap _used;
    private Hole[] _holes = new Hole[16];
    private int _holesMade;
    private int _spareHole = None;
    private long _freeGranules;

    /// <summary>All of <paramref name="length"/> bytes is free; a last part below a granule is not used.</summary>
    public ExtentAllocator(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, SegmentOptions.MaxLength);
        _granules = (int)(length >> GranuleShift);
        _edges = new int[_granules];
        _bins = new int[BinOf(_granules) + 1];
        _bins.AsSpan().Fill(None);
        _used = new BinMap(_bins.Length);
        if (_granules > 0)
            AddHole(0, _granules);
        _freeGranules = _granules;
    }

    /// <summary>Bytes that can be allocated in all.</summary>
    public long Capacity => (long)_granules << GranuleShift;

    /// <summary>Free bytes, in whole granules.</summary>
    public long FreeBytes => _freeGranules << GranuleShift;

    /// <summary>Bytes of the largest hole: exactly the largest size that can be allocated now.</summary>
    public long LargestFree
    {
        get
        {
            int bin = _used.Last();
            if (bin < ExactBins)
                return (long)Math.Max(0, bin) << GranuleShift;
            int largest = 0;
            for (int hole = _bins[bin]; hole != None; hole = _holes[hole].Next)
                largest = Math.Max(largest, _holes[hole].Length);
            return (long)largest << GranuleShift;
        }
    }

    /// <summary>What a value of <paramref name="size"/> bytes occupies, in bytes: at least one granule.</summary>
    public static long Rounded(long size) => Math.Max(1, (size + Granule - 1) >> GranuleShift) << GranuleShift;

    /// <summary>Takes the best-fitting hole for <paramref name="size"/> bytes.</summary>
    /// <returns>False when no hole is large enough.</returns>
    public bool TryAllocate(long size, out long offset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        offset = -1;
        if (size > Capacity)
            return false;
        int length = (int)(Rounded(size) >> GranuleShift);
        int hole = length > _granules ? None : BestFit(length);
        if (hole == None)
            return false;
        Hole found = _holes[hole];
        RemoveHole(hole);
        if (found.Length > length)
            AddHole(found.Start + length, found.Length - length);
        _freeGranules -= length;
        offset = (long)found.Start << GranuleShift;
        return true;
    }

    /// <summary>Gives back what <see cref="TryAllocate"/> gave for the same size.</summary>
    /// <exception cref="ArgumentException">The range is no allocation, as far as its edges show.</exception>
    public void Free(long offset, long size)
    {
        long rounded = size < 0 ? -1 : Rounded(size);
        if (rounded < 0 || offset < 0 || (offset & (Granule - 1)) != 0 || offset > Capacity - rounded)
            throw new ArgumentException($"range {offset}+{size} is outside the segment or not aligned");
        int start = (int)(offset >> GranuleShift);
        int length = (int)(rounded >> GranuleShift);
        int end = start + length;
        if (_edges[start] != 0 || _edges[end - 1] != 0)
            throw new ArgumentException($"range {offset}+{size} is free already");
        _freeGranules += length;
        if (start > 0 && _edges[start - 1] != 0)
        {
            int before = _edges[start - 1] - 1;
            start = _holes[before].Start;
            RemoveHole(before);
        }

        if (end < _granules && _edges[end] != 0)
        {
            int after = _edges[end] - 1;
            end += _holes[after].Length;
            RemoveHole(after);
        }

        AddHole(start, end - start);
    }

    private static int BinOf(int length) =>
        length < ExactBins ? length : ExactBins + (length >> CoarseShift);

    private int BestFit(int length)
    {
        int bin = BinOf(length);
        int best = SmallestIn(_used.NextFrom(bin), length);
        return best == None && bin >= ExactBins ? SmallestIn(_used.NextFrom(bin + 1), length) : best;
    }

    private int SmallestIn(int bin, int atLeast)
    {
        if (bin < 0)
            return None;
        int hole = _bins[bin];
        if (bin < ExactBins)
            return hole;
        int best = None;
        for (; hole != None; hole = _holes[hole].Next)
        {
            int length = _holes[hole].Length;
            if (length >= atLeast && (best == None || length < _holes[best].Length))
                best = hole;
        }

        return best;
    }

    private void AddHole(int start, int length)
    {
        int hole = _spareHole;
        if (hole != None)
        {
            _spareHole = _holes[hole].Next;
        }
        else
        {
            if (_holesMade == _holes.Length)
                Array.Resize(ref _holes, _holes.Length * 2);
            hole = _holesMade++;
        }

        int bin = BinOf(length);
        int next = _bins[bin];
        _holes[hole] = new Hole { Start = start, Length = length, Next = next, Previous = None };
        if (next != None)
            _holes[next].Previous = hole;
        else
            _used.Set(bin);
        _bins[bin] = hole;
        _edges[start] = hole + 1;
        _edges[start + length - 1] = hole + 1;
    }

    private void RemoveHole(int hole)
    {
        ref Hole gone = ref _holes[hole];
        if (gone.Next != None)
            _holes[gone.Next].Previous = gone.Previous;
        if (gone.Previous != None)
        {
            _holes[gone.Previous].Next = gone.Next;
        }
        else
        {
            int bin = BinOf(gone.Length);
            _bins[bin] = gone.Next;
            if (gone.Next == None)
                _used.Clear(bin);
        }

        _edges[gone.Start] = 0;
        _edges[gone.Start + gone.Length - 1] = 0;
        gone.Next = _spareHole;
        _spareHole = hole;
    }

    private struct Hole
    {
        public int Start;
        public int Length;
        public int Next;
        public int Previous;
    }
}
