// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics.CodeAnalysis;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Segments;

/// <summary>All segments of a store: made and closed together. Extents are taken under the lock of the store.</summary>
internal sealed class SegmentSet : IDisposable
{
    /// <summary>Most segments of a node.</summary>
    public const int MaxSegments = 256;

    private readonly Segment[] _all;
    private readonly GenerationCounter _counter;
    private readonly IWordRule _words;
    private readonly HashSet<ulong> _open = [];
    private readonly bool[] _tiers = new bool[2];
    private long _active;
    private long _users;
    private bool _closing;
    private bool _closed;

    private SegmentSet(Segment[] all, GenerationCounter counter, IWordRule words)
    {
        _all = all;
        _counter = counter;
        _words = words;
        foreach (Segment segment in all)
        {
            _active += segment.Length;
            _tiers[(int)segment.Tier] = true;
        }

        LargestObject = ScatteredExtents.Largest(all);
    }

    /// <summary>The segments, by id.</summary>
    public IReadOnlyList<Segment> All => _all;

    /// <summary>What was asked for, with the lengths that there are.</summary>
    public SegmentOptions[] Options() => Array.ConvertAll(_all, static segment => segment.Options);

    /// <summary>Bytes in all; of a retired segment those that are still in use.</summary>
    public long Capacity
    {
        get
        {
            long retired = 0;
            foreach (Segment segment in _all)
                retired += segment.IsRetired ? segment.Length - segment.Allocator.FreeBytes : 0;
            return _active + retired;
        }
    }

    /// <summary>Size of the largest object that can ever be held, in bytes.</summary>
    public long LargestObject { get; private set; }

    /// <summary>Free bytes in all.</summary>
    public long Free
    {
        get
        {
            long free = 0;
            foreach (Segment segment in _all)
                free += segment.IsRetired ? 0 : segment.Allocator.FreeBytes;
            return free;
        }
    }

    /// <summary>Bytes of the largest hole.</summary>
    public long LargestFree => LargestFreeIn(null);

    /// <summary>Bytes in reservations.</summary>
    public long Filling { get; set; }

    /// <summary>Whether there are segments of both kinds of memory.</summary>
    public bool HasTiers => _tiers[(int)Tier.Dram] && _tiers[(int)Tier.Vram];

    /// <summary>Where new objects go first; null: wherever most is free.</summary>
    public TierPolicy? Placement { get; set; }

    /// <summary>Bytes of the largest hole, of one tier or of all.</summary>
    public long LargestFreeIn(Tier? only)
    {
        long largest = 0;
        foreach (Segment segment in _all)
        {
            if (!segment.IsRetired && (only is null || segment.Tier == only))
                largest = Math.Max(largest, segment.Allocator.LargestFree);
        }

        return largest;
    }

    /// <summary>Allocates all segments, or none.</summary>
    /// <returns>The set; InvalidArgument with every fault of the options; the failure of the memory.</returns>
    public static MeshResult<SegmentSet> Create(IReadOnlyList<SegmentOptions> options, MeshRuntime runtime)
    {
        var faults = new List<string>();
        if (options.Count > MaxSegments)
            faults.Add($"segments has {options.Count} entries; the limit is {MaxSegments}");
        for (int id = 0; id < Math.Min(options.Count, MaxSegments); id++)
        {
            foreach (MeshError fault in options[id].Validate(id))
                faults.Add(fault.Message);
        }

        if (faults.Count > 0)
            return new MeshError(MeshErrorCode.InvalidArgument, "config:segments", string.Join("; ", faults));

        var counter = new GenerationCounter(runtime.Random);
        var made = new List<Segment>(options.Count);
        long promised = 0;
        for (int id = 0; id < options.Count; id++)
        {
            MeshResult<Segment> segment = Segment.Create(id, options[id], counter, promised, runtime);
            if (segment.Error is { } error)
            {
                foreach (Segment earlier in made)
                    earlier.Dispose();
                return error;
            }

            promised += segment.Value.Promised;
            made.Add(segment.Value);
        }

        return new SegmentSet([.. made], counter, runtime.Policies.Word);
    }

    /// <summary>
    /// Takes one extent, in the segment with most free bytes among those with a hole for it, or, when there is none,
    /// several. Where there are tiers, in the first of them with a hole; several in one tier rather than in both.
    /// </summary>
    /// <param name="size">Size of the object in bytes.</param>
    /// <param name="extents">The extents.</param>
    /// <param name="largest">When it fails: the largest size that could be taken now.</param>
    public bool TryAllocate(long size, [NotNullWhen(true)] out Extent[]? extents, out long largest)
    {
        largest = 0;
        if (TryTakeFirst(size, out Extent whole) || TryTake(size, out whole))
        {
            extents = [Named(whole)];
            _open.Add(extents[0].Generation);
            return true;
        }

        extents = null;
        foreach (Tier tier in Placement is { } placement ? placement.Order : [])
            extents ??= ScatteredExtents.TryTake(this, tier, size, out _);
        extents ??= ScatteredExtents.TryTake(this, null, size, out largest);
        if (extents is null)
            return false;
        for (int i = 0; i < extents.Length; i++)
            extents[i] = Named(extents[i]);
        _open.Add(extents[0].Generation);
        return true;
    }

    /// <summary>Takes one extent of that segment.</summary>
    public bool TryAllocateIn(Segment segment, long size, out Extent extent)
    {
        extent = default;
        if (segment.IsRetired || !segment.Allocator.TryAllocate(size, out long offset))
            return false;
        extent = Named(new Extent(segment.Id, offset, size, 0));
        _open.Add(extent.Generation);
        return true;
    }

    /// <summary>An extent is, or is the first of, an object that its key names.</summary>
    public void Settled(in Extent extent) => _open.Remove(extent.Generation);

    /// <summary>What can still become an object.</summary>
    public OpenWords Open() => new(_counter.Last, [.. _open]);

    /// <summary>Why no object of this id and size can ever be held; null when it can.</summary>
    public MeshError? Unfit(string stage, ulong objectId, long size)
    {
        if (objectId == 0)
            return new MeshError(MeshErrorCode.InvalidArgument, stage, "objectId is 0; 0 means none");
        if (size < 0)
            return new MeshError(MeshErrorCode.InvalidArgument, stage, $"size is {size} bytes; the least is 0");
        return LargestObject == 0 || size <= LargestObject ? null : new MeshError(MeshErrorCode.InvalidArgument, stage,
            $"size is {size} bytes; the limit is {LargestObject} bytes, all that its segments can hold");
    }

    /// <summary>That there is no room now.</summary>
    public static MeshError Full(string stage, long size, long largest) => new(MeshErrorCode.NoSpace, stage,
        $"no room for {size} bytes; the largest size with room now is {largest} bytes, in up to "
        + $"{ScatteredExtents.Most} extents");

    /// <summary>Takes a range; its word is that of before.</summary>
    public bool TryTake(long size, out Extent extent, Tier? only = null)
    {
        Segment? best = null;
        long needed = ExtentAllocator.Rounded(size);
        foreach (Segment segment in _all)
        {
            if (!segment.IsRetired && segment.Allocator.LargestFree >= needed
                && (only is null || segment.Tier == only)
                && (best is null || segment.Allocator.FreeBytes > best.Allocator.FreeBytes))
                best = segment;
        }

        extent = default;
        if (best is null || !best.Allocator.TryAllocate(size, out long offset))
            return false;
        extent = new Extent(best.Id, offset, size, 0);
        return true;
    }

    /// <summary>The word of an extent becomes a new one: readers see it. Comes before <see cref="Release"/>.</summary>
    public void Invalidate(in Extent extent)
    {
        // An object may be discarded after the store was closed; then the words are gone, and so are their readers.
        _open.Remove(extent.Generation);
        if (!_closed)
            _words.Left(_all[extent.SegmentId].Generations, extent.Offset);
    }

    /// <summary>The range of an invalidated extent is free.</summary>
    public void Release(in Extent extent) => _all[extent.SegmentId].Allocator.Free(extent.Offset, extent.Length);

    /// <summary>Touches, one after the other, the segments that ask for it.</summary>
    public Task TouchAsync(MeshRuntime runtime, CancellationToken cancel) => runtime.Start(async () =>
    {
        foreach (Segment segment in _all)
        {
            if (segment.Options.PreTouch && segment.Memory.Host is { } host)
                await host.TouchAsync(runtime, cancel);
        }
    });

    /// <summary>The bytes of an extent.</summary>
    public SegmentBytes BytesOf(Extent extent) =>
        _all[extent.SegmentId].Memory.At(extent.Offset, extent.Length);

    /// <summary>A segment takes no more objects; false when it is so already.</summary>
    public bool TryRetire(int id)
    {
        if (_all[id].IsRetired)
            return false;
        _all[id].IsRetired = true;
        _active -= _all[id].Length;
        LargestObject = ScatteredExtents.Largest(Array.FindAll(_all, static segment => !segment.IsRetired));
        return true;
    }

    /// <summary>A pin or a reservation uses the memory.</summary>
    public void BeginUse() => _users++;

    /// <summary>It has ended.</summary>
    /// <returns>Whether it was the last one of a closed store, for <see cref="DisposeIf"/>.</returns>
    public bool EndUse()
    {
        _users--;
        return IsLast();
    }

    /// <summary>The store has closed; the memory goes once nothing uses it.</summary>
    /// <returns>As <see cref="EndUse"/>.</returns>
    public bool Close()
    {
        _closing = true;
        return IsLast();
    }

    /// <summary>Frees the memory; without the lock, as a device may take its time.</summary>
    public void DisposeIf(bool last)
    {
        if (last)
            Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _closed = true;
        foreach (Segment segment in _all)
            segment.Dispose();
    }

    private bool TryTakeFirst(long size, out Extent extent)
    {
        extent = default;
        if (Placement is not { } placement)
            return false;
        foreach (Tier tier in placement.Order)
        {
            if (TryTake(size, out extent, tier))
                return true;
        }

        return false;
    }

    private bool IsLast() => _closing && _users == 0 && (_closed = true);

    private Extent Named(in Extent extent) =>
        extent with { Generation = _words.Given(_all[extent.SegmentId].Generations, extent.Offset) };
}
