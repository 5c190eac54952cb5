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
/// Neighbours are found by a bit for each granule that is the first or last one of a hole, dense enough to stay in the
/// processor's cache, and for those that are, the hole's number.
/// </remarks>
public sealed unsafe class ExtentAllocator
{
    /// <summary>Unit of allocation, in bytes.</summary>
    public const int Granule = 4096;

    private const int GranuleShift = 12;
    private const int ExactBins = 1 << CoarseShift;
    private const int CoarseShift = 16;
    private const int None = -1;

    private readonly int _granules;
    private readonly ulong* _edges;
    private readonly int* _holeAt;
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
        _edges = NativePages.MapHuge<ulong>(Words);
        _holeAt = NativePages.MapHuge<int>(_granules);
        _bins = new int[BinOf(_granules) + 1];
        _bins.AsSpan().Fill(None);
        _used = new BinMap(_bins.Length);
        if (_granules > 0)
            AddHole(0, _granules);
        _freeGranules = _granules;
    }

    /// <summary>Gives its tables back.</summary>
    ~ExtentAllocator()
    {
        NativePages.Unmap(_edges, Words);
        NativePages.Unmap(_holeAt, _granules);
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
        ref Hole found = ref _holes[hole];
        int start = found.Start;
        Unlink(hole);
        ClearEdge(start);
        if (found.Length > length)
        {
            // What is left keeps its last edge: one line of memory less to be fetched.
            found.Start += length;
            found.Length -= length;
            SetEdge(found.Start, hole);
            Link(hole);
        }
        else
        {
            ClearEdge(start + length - 1);
            Spare(hole);
        }

        _freeGranules -= length;
        offset = (long)start << GranuleShift;
        GC.KeepAlive(this);
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
        if (IsEdge(start) || IsEdge(end - 1))
            throw new ArgumentException($"range {offset}+{size} is free already");
        _freeGranules += length;
        int before = start > 0 && IsEdge(start - 1) ? _holeAt[start - 1] : None;
        int after = end < _granules && IsEdge(end) ? _holeAt[end] : None;
        // A neighbour grows in its place: its other edge is not looked at.
        if (before != None)
            GrowUp(before, end, after);
        else if (after != None)
            GrowDown(after, start);
        else
            AddHole(start, length);
        GC.KeepAlive(this);
    }

    /// <summary>
    /// A hole takes in what is freed behind it up to <paramref name="end"/>, and the hole there, if any.
    /// </summary>
    private void GrowUp(int hole, int end, int after)
    {
        Unlink(hole);
        ref Hole grown = ref _holes[hole];
        if (grown.Length > 1)
            ClearEdge(grown.Start + grown.Length - 1);
        if (after != None)
        {
            Unlink(after);
            ClearEdge(end);
            end += _holes[after].Length;
            Spare(after);
        }

        grown.Length = end - grown.Start;
        SetEdge(end - 1, hole);
        Link(hole);
    }

    /// <summary>A hole takes in what is freed before it from <paramref name="start"/>.</summary>
    private void GrowDown(int hole, int start)
    {
        Unlink(hole);
        ref Hole grown = ref _holes[hole];
        if (grown.Length > 1)
            ClearEdge(grown.Start);
        grown.Length += grown.Start - start;
        grown.Start = start;
        SetEdge(start, hole);
        Link(hole);
    }

    private long Words => ((long)_granules + 63) / 64;

    private bool IsEdge(int granule) => (_edges[granule >> 6] & (1ul << granule)) != 0;

    private void SetEdge(int granule, int hole)
    {
        _edges[granule >> 6] |= 1ul << granule;
        _holeAt[granule] = hole;
    }

    private void ClearEdge(int granule) => _edges[granule >> 6] &= ~(1ul << granule);

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

        _holes[hole] = new Hole { Start = start, Length = length };
        SetEdge(start, hole);
        SetEdge(start + length - 1, hole);
        Link(hole);
    }

    private void Spare(int hole)
    {
        _holes[hole].Next = _spareHole;
        _spareHole = hole;
    }

    /// <summary>Puts a hole into the bin of its length.</summary>
    private void Link(int hole)
    {
        ref Hole linked = ref _holes[hole];
        int bin = BinOf(linked.Length);
        int next = _bins[bin];
        linked.Next = next;
        linked.Previous = None;
        if (next != None)
            _holes[next].Previous = hole;
        else
            _used.Set(bin);
        _bins[bin] = hole;
    }

    /// <summary>Takes a hole out of the bin of its length.</summary>
    private void Unlink(int hole)
    {
        ref Hole gone = ref _holes[hole];
        if (gone.Next != None)
            _holes[gone.Next].Previous = gone.Previous;
        if (gone.Previous != None)
        {
            _holes[gone.Previous].Next = gone.Next;
            return;
        }

        int bin = BinOf(gone.Length);
        _bins[bin] = gone.Next;
        if (gone.Next == None)
            _used.Clear(bin);
    }

    private struct Hole
    {
        public int Start;
        public int Length;
        public int Next;
        public int Previous;
    }
}
