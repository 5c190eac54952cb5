// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The holder's object table over its segments. An object goes: reserved (filling), sealed (complete, invisible),
/// committed (visible under its key, may be evicted), then gone, or a zombie while it is pinned. Thread-safe.
/// </summary>
public sealed class ObjectStore : IDisposable
{
    private const string Stage = "reserve";

    private readonly Lock _gate = new();
    private readonly SegmentSet _segments;
    private readonly HashIndex _index;
    private readonly IEvictionPolicy _policy;
    private readonly CancellationTokenSource _closing = new();
    private long _live;
    private long _filling;
    private long _zombie;
    private long _users;
    private bool _closed;

    private ObjectStore(SegmentSet segments, IEvictionPolicy policy)
    {
        _segments = segments;
        _policy = policy;
        _index = new HashIndex(segments.Capacity / ExtentAllocator.Granule);
    }

    /// <summary>The segments, by id.</summary>
    public IReadOnlyList<Segment> Segments => _segments.All;

    /// <summary>Ends when the segments that asked for it have been touched, or the store is closed.</summary>
    public Task Touched { get; private set; } = Task.CompletedTask;

    /// <summary>How full the store is at this moment.</summary>
    public StoreUsage Usage
    {
        get
        {
            lock (_gate)
            {
                return new StoreUsage
                {
                    Capacity = _segments.Capacity,
                    Live = _live,
                    Filling = _filling,
                    Zombie = _zombie,
                    Free = _segments.Free,
                    LargestFree = _segments.LargestFree,
                    Objects = _index.Count,
                };
            }
        }
    }

    /// <summary>Allocates the segments, and starts to touch those that ask for it.</summary>
    /// <param name="options">One entry a segment; none for a node without memory.</param>
    /// <param name="runtime">Where generation words start, and where memory is touched.</param>
    /// <param name="policy">The order of victims, for this store alone; <see cref="ClockEviction"/> by default.</param>
    /// <returns>The store; InvalidArgument or System at "config:segments"; System at "memory".</returns>
    public static MeshResult<ObjectStore> Create(
        IReadOnlyList<SegmentOptions> options, MeshRuntime runtime, IEvictionPolicy? policy = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(runtime);
        MeshResult<SegmentSet> segments = SegmentSet.Create(options, runtime.Random);
        if (segments.Error is { } error)
            return error;
        var store = new ObjectStore(segments.Value, policy ?? new ClockEviction());
        store.Touched = segments.Value.TouchAsync(runtime, store._closing.Token);
        return store;
    }

    /// <summary>Takes an extent to fill. Never evicts.</summary>
    /// <param name="key">The name the object shall have.</param>
    /// <param name="objectId">Which put writes it; not 0.</param>
    /// <param name="size">Size in bytes; 0 is legal.</param>
    /// <returns>
    /// The reservation; NoSpace when no hole fits; InvalidKey; InvalidArgument for what could never be held; Closed.
    /// </returns>
    public MeshResult<Reservation> Reserve(MeshKey key, ulong objectId, long size)
    {
        if (key.Validate() is { } badKey)
            return badKey;
        if (objectId == 0)
            return new MeshError(MeshErrorCode.InvalidArgument, Stage, "objectId is 0; 0 means none");
        if (size < 0)
            return new MeshError(MeshErrorCode.InvalidArgument, Stage, $"size is {size} bytes; the least is 0");
        if (_segments.Capacity > 0 && size > _segments.LargestSegment)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                $"size is {size} bytes; the limit is {_segments.LargestSegment} bytes, the largest segment");
        }

        long largest;
        lock (_gate)
        {
            if (_closed)
                return new MeshError(MeshErrorCode.Closed, Stage, "the store is closed");
            if (_segments.TryAllocate(size, out Extent extent))
            {
                _filling += ExtentAllocator.Rounded(size);
                _users++;
                unsafe
                {
                    return new Reservation(key, objectId, extent, PointerTo(extent));
                }
            }

            largest = _segments.LargestFree;
        }

        return new MeshError(MeshErrorCode.NoSpace, Stage,
            $"no hole for {size} bytes; the largest free hole has {largest} bytes");
    }

    /// <summary>The bytes of a reservation are complete; the object is invisible before <see cref="Commit"/>.</summary>
    /// <exception cref="InvalidOperationException">The reservation has ended before.</exception>
    public HeldObject Seal(Reservation reservation, ulong checksum) =>
        TrySeal(reservation, checksum, out HeldObject? held) ? held
            : throw new InvalidOperationException("the reservation was sealed or aborted before");

    /// <summary><see cref="Seal"/> for a caller whose reservation may be aborted at the same time.</summary>
    /// <returns>False when the reservation has ended before.</returns>
    public bool TrySeal(Reservation reservation, ulong checksum, [NotNullWhen(true)] out HeldObject? held)
    {
        ArgumentNullException.ThrowIfNull(reservation);
        held = null;
        lock (_gate)
        {
            if (!End(reservation))
                return false;
            held = new HeldObject(reservation.Key, reservation.ObjectId, checksum, reservation.Extent, reservation.Sums);
            _live += held.Occupied;
            Segments[held.Extent.SegmentId].Live.Add(held.Extent.Offset, held);
            Left();
            return true;
        }
    }

    /// <summary>Gives a reservation up; without effect on one that has ended.</summary>
    public void Abort(Reservation reservation)
    {
        ArgumentNullException.ThrowIfNull(reservation);
        lock (_gate)
        {
            if (!End(reservation))
                return;
            _segments.Invalidate(reservation.Extent);
            _segments.Release(reservation.Extent);
            Left();
        }
    }

    /// <summary>Frees a sealed object that its owner did not want; without effect on any other.</summary>
    public void Discard(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        lock (_gate)
        {
            if (held.State == HeldState.Sealed)
                Leave(held);
        }
    }

    /// <summary>
    /// Makes a sealed object visible under its key. An older version there is dropped. Where the version there is
    /// as great or greater, this object is discarded.
    /// </summary>
    /// <returns>Whether it is visible now; false too when it was discarded before or the store is closed.</returns>
    public bool Commit(HeldObject held, RecordVersion version)
    {
        ArgumentNullException.ThrowIfNull(held);
        if (version.IsNone)
            throw new ArgumentException("a record without a version is not committed", nameof(version));
        lock (_gate)
        {
            if (held.State != HeldState.Sealed)
                return held.State == HeldState.Committed;
            HeldObject? present = _index.Find(held.Key);
            if (_closed || (present is not null && present.Version >= version))
            {
                Leave(held);
                return false;
            }

            if (present is not null)
                Leave(present);
            held.Version = version;
            held.State = HeldState.Committed;
            _index.Add(held);
            _policy.Added(held);
            return true;
        }
    }

    /// <summary>The committed object under <paramref name="key"/>.</summary>
    public bool TryFind(in MeshKey key, [NotNullWhen(true)] out HeldObject? held)
    {
        lock (_gate)
            held = _closed ? null : _index.Find(key);
        return held is not null;
    }

    /// <summary>
    /// Takes the object of that key and id away: its generation word changes first, then its extent is free, or,
    /// while pinned, is a zombie.
    /// </summary>
    /// <returns>False when it is not there.</returns>
    public bool Drop(in MeshKey key, ulong objectId)
    {
        lock (_gate)
        {
            if (_index.Find(key) is not { } held || held.ObjectId != objectId)
                return false;
            Leave(held);
            return true;
        }
    }

    /// <summary>Numbers a committed object anew.</summary>
    /// <returns>False when it is not there, or has this or a greater version.</returns>
    public bool SetVersion(in MeshKey key, ulong objectId, RecordVersion version)
    {
        lock (_gate)
        {
            if (_index.Find(key) is not { } held || held.ObjectId != objectId || held.Version >= version)
                return false;
            held.Version = version;
            return true;
        }
    }

    /// <summary>Pins a sealed or committed extent, if it still is what the caller was told.</summary>
    /// <returns>False when the word is not <paramref name="generation"/> any more, or nothing lives there.</returns>
    public bool TryPin(int segmentId, long offset, ulong generation, [NotNullWhen(true)] out ExtentPin? pin)
    {
        pin = null;
        if ((uint)segmentId >= (uint)Segments.Count)
            return false;
        Segment segment = Segments[segmentId];
        lock (_gate)
        {
            if (_closed
                || !segment.Live.TryGetValue(offset, out HeldObject? held)
                || held.Extent.Generation != generation
                || segment.Generations.Read(offset) != generation)
                return false;
            held.Pins++;
            _users++;
            unsafe
            {
                pin = new ExtentPin(this, held, PointerTo(held.Extent));
            }

            return true;
        }
    }

    /// <summary>
    /// Appends committed objects with key hashes in the range, by hash. The objects of one hash come together, so
    /// slightly more than <paramref name="max"/> may come; the next page starts at the last one's hash + 1.
    /// </summary>
    /// <returns>How many were appended; less than <paramref name="max"/>: the range is done.</returns>
    public int ListRange(ulong fromHash, ulong toHashInclusive, int max, List<HeldObject> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(max);
        lock (_gate)
            return _closed ? 0 : _index.List(fromHash, toHashInclusive, max, into);
    }

    /// <summary>
    /// Appends victims in the policy's order until they occupy <paramref name="bytes"/>, or there are no more. Each
    /// must end in <see cref="Drop"/> or <see cref="RefuseVictim"/>; it is not proposed again before. Pinned objects
    /// are passed over, to the back: dropping one would free nothing yet.
    /// </summary>
    public void ProposeVictims(long bytes, List<HeldObject> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        lock (_gate)
        {
            for (int steps = _index.Count; steps > 0 && bytes > 0; steps--)
            {
                if (_policy.Next() is not { } victim)
                    return;
                Debug.Assert(victim.State == HeldState.Committed, "a policy names committed objects only");
                if (victim.Pins > 0)
                {
                    _policy.Refused(victim);
                    continue;
                }

                victim.Proposed = true;
                into.Add(victim);
                bytes -= victim.Occupied;
            }
        }
    }

    /// <summary>The owner keeps a proposed victim: it goes to the back. Without effect on any other object.</summary>
    public void RefuseVictim(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        lock (_gate)
        {
            if (!held.Proposed || held.State != HeldState.Committed)
                return;
            held.Proposed = false;
            _policy.Refused(held);
        }
    }

    /// <summary>
    /// Closes the store: nothing is found or reserved any more. Memory that is pinned or being filled stays until
    /// the last of these has ended.
    /// </summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
            if (_users == 0)
                _segments.Dispose();
        }

        _closing.Cancel();
        _closing.Dispose();
    }

    /// <summary>Ends a pin.</summary>
    internal void Unpin(HeldObject held)
    {
        lock (_gate)
        {
            held.Pins--;
            if (held.Pins == 0 && held.State == HeldState.Zombie)
            {
                held.State = HeldState.Gone;
                _zombie -= held.Occupied;
                _segments.Release(held.Extent);
            }

            Left();
        }
    }

    private bool End(Reservation reservation)
    {
        if (reservation.Ended)
            return false;
        reservation.Ended = true;
        _filling -= ExtentAllocator.Rounded(reservation.Size);
        return true;
    }

    /// <summary>A sealed or committed object leaves: first the word, then the key, the extent once unpinned.</summary>
    private void Leave(HeldObject held)
    {
        _segments.Invalidate(held.Extent);
        Segments[held.Extent.SegmentId].Live.Remove(held.Extent.Offset);
        if (held.State == HeldState.Committed)
        {
            _index.Remove(held);
            _policy.Removed(held);
        }

        held.Proposed = false;
        _live -= held.Occupied;
        if (held.Pins > 0)
        {
            held.State = HeldState.Zombie;
            _zombie += held.Occupied;
        }
        else
        {
            held.State = HeldState.Gone;
            _segments.Release(held.Extent);
        }
    }

    /// <summary>A pin or a reservation has ended; the last one of a closed store takes the memory along.</summary>
    private void Left()
    {
        _users--;
        if (_closed && _users == 0)
            _segments.Dispose();
    }

    private unsafe byte* PointerTo(in Extent extent) => Segments[extent.SegmentId].Memory.Pointer + extent.Offset;
}
