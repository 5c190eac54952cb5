// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>
/// The two tiers of a store that has memory of the host and of devices: what is read into devices, what moves, one
/// object at a time, and the moment in which a copy takes an object's place. Only objects of one extent move.
/// Thread-safe.
/// </summary>
internal sealed unsafe class StoreTiers
{
    /// <summary>Most places of a segment looked at for one victim: the lock of the store is held meanwhile.</summary>
    private const int MostLookedAt = 16_384;

    private readonly ObjectStore _store;
    private readonly Lock _gate;
    private readonly SegmentSet _segments;
    private readonly HeldTable _held;
    private readonly TimeProvider _time;
    private readonly long _start;
    private readonly long[] _hands;
    private TierPolicy _policy;
    private bool _moving;
    private bool _closed;

    public StoreTiers(ObjectStore store, Lock gate, SegmentSet segments, HeldTable held, TierOptions options,
        TimeProvider time)
    {
        (_store, _gate, _segments, _held, _time) = (store, gate, segments, held, time);
        _start = time.GetTimestamp();
        _hands = new long[segments.All.Count];
        segments.Placement = _policy = new TierPolicy(options);
    }

    /// <summary>What decides from now on.</summary>
    public TierPolicy Policy
    {
        set
        {
            lock (_gate)
                _segments.Placement = _policy = value;
        }
    }

    private uint Now => unchecked((uint)(long)_time.GetElapsedTime(_start).TotalMilliseconds);

    /// <summary>The store has closed; under its lock.</summary>
    public void Close() => _closed = true;

    /// <summary>How full a tier is.</summary>
    public TierRoom RoomOf(Tier tier)
    {
        lock (_gate)
            return RoomIn(tier, null);
    }

    /// <summary>A pinned object is read into memory of a device.</summary>
    /// <returns>The object when it should move to that device now; else null.</returns>
    public HeldObject? Read(ExtentPin pin, string location)
    {
        lock (_gate)
        {
            HeldCell* held = pin.Held;
            if (_closed || held->State != HeldState.Committed)
                return null;
            TierHeat heat = _policy.Read(HeatOf(held), Now);
            bool due = _policy.Promotes(heat) && IsMovable(held, Tier.Dram)
                && RoomIn(Tier.Vram, location).Capacity > 0;
            // Should it not move for want of room, it counts anew.
            (held->Reads, held->ReadSince) = (due ? (byte)1 : heat.Reads, heat.Since);
            return due ? _held.Read(held) : null;
        }
    }

    /// <summary>An object begins to move to a device.</summary>
    /// <param name="item">The object.</param>
    /// <param name="location">The device.</param>
    /// <param name="makeRoom">Whether others should leave the device for it first.</param>
    /// <returns>The move, which ends by <see cref="End"/>; null when it does not move now.</returns>
    public TierMove? BeginPromotion(HeldObject item, string location, out bool makeRoom)
    {
        makeRoom = false;
        lock (_gate)
        {
            HeldCell* held = HeldCells.Of(item);
            if (_closed || _moving || held is null || !IsMovable(held, Tier.Dram))
                return null;
            Promotion next = _policy.ToDevice(RoomIn(Tier.Vram, location), held->Occupied);
            makeRoom = next == Promotion.MakeRoom;
            return next == Promotion.Move ? Begin(held, Tier.Vram, location) : null;
        }
    }

    /// <summary>The next object that leaves a device begins to move.</summary>
    /// <param name="location">The device; null: any that has too little free.</param>
    /// <param name="wanted">Whether it leaves although enough is free, for the sake of a hole.</param>
    /// <returns>The move, which ends by <see cref="End"/>; null when none leaves now.</returns>
    public TierMove? BeginDemotion(string? location = null, bool wanted = false)
    {
        lock (_gate)
        {
            if (_closed || _moving)
                return null;
            foreach (Segment segment in _segments.All)
            {
                if (segment.IsRetired || segment.Tier != Tier.Vram || !IsAt(segment, location)
                    || (!wanted && _policy.Lack(RoomIn(segment)) == 0))
                    continue;
                HeldCell* victim = NextVictim(segment);
                if (victim is not null)
                    return Begin(victim, Tier.Dram, null);
            }

            return null;
        }
    }

    /// <summary>The bytes of a move are in place: readers may be told of the copy.</summary>
    /// <returns>The copy; null when the object has left meanwhile.</returns>
    public HeldObject? Seal(TierMove move)
    {
        if (!_store.TrySeal(move.Target, move.Source.Checksum, out HeldObject? copy))
            return null;
        lock (_gate)
            return _held.BeginReplace(move.Source, copy) ? copy : null;
    }

    /// <summary>The copy takes the object's place, under the same key, id and version.</summary>
    /// <returns>False when the object has left meanwhile, and its copy with it.</returns>
    public bool TryFinish()
    {
        lock (_gate)
            return !_closed && _held.TryReplace();
    }

    /// <summary>A move is over: what it has not put in place is free again.</summary>
    public void End(TierMove move)
    {
        _store.Abort(move.Target);
        lock (_gate)
        {
            if (!_closed)
                _held.EndReplace();
            _moving = false;
        }

        move.Pin.Dispose();
    }

    private static TierHeat HeatOf(HeldCell* held) => new(held->Reads, held->ReadSince);

    private static bool IsAt(Segment segment, string? location) =>
        location is null || segment.Memory.Device?.Location == location;

    private static TierRoom RoomIn(Segment segment) =>
        new(segment.Length, segment.Allocator.FreeBytes, segment.Allocator.LargestFree);

    private TierRoom RoomIn(Tier tier, string? location)
    {
        var room = default(TierRoom);
        foreach (Segment segment in _segments.All)
        {
            if (segment.IsRetired || segment.Tier != tier || !IsAt(segment, location))
                continue;
            TierRoom part = RoomIn(segment);
            room = new TierRoom(room.Capacity + part.Capacity, room.Free + part.Free,
                Math.Max(room.LargestFree, part.LargestFree));
        }

        return room;
    }

    /// <summary>A proposed victim belongs to its eviction, and an object of several extents stays.</summary>
    private bool IsMovable(HeldCell* held, Tier from) => held->State == HeldState.Committed && !held->Proposed
        && held->Extents is null && held->Size > 0 && _segments.All[held->Extent.SegmentId].Tier == from;

    /// <summary>
    /// A hand goes over the segment, place by place: it takes the next that nobody has pinned or reads. A queue in
    /// order of age would have the objects of the other tier in it.
    /// </summary>
    private HeldCell* NextVictim(Segment segment)
    {
        TierRoom host = RoomIn(Tier.Dram, null);
        uint now = Now;
        ref long hand = ref _hands[segment.Id];
        long passed = 0;
        for (int looked = 0; looked < MostLookedAt && passed < segment.Length; looked++)
        {
            HeldCell* held = segment.Live.Find(hand);
            long step = held is null ? ExtentAllocator.Granule : ExtentAllocator.Rounded(held->Extent.Length);
            passed += step;
            hand += step;
            if (hand >= segment.Length)
                hand = 0;
            if (held is not null && held->Pins == 0 && held->Pin != ObjectPin.Hard && IsMovable(held, Tier.Vram)
                && _policy.MayLeave(HeatOf(held), now, host, held->Occupied))
                return held;
        }

        return null;
    }

    private TierMove? Begin(HeldCell* held, Tier tier, string? location)
    {
        Segment? best = null;
        foreach (Segment segment in _segments.All)
        {
            if (!segment.IsRetired && segment.Tier == tier && IsAt(segment, location)
                && segment.Allocator.LargestFree >= held->Occupied
                && (best is null || segment.Allocator.FreeBytes > best.Allocator.FreeBytes))
                best = segment;
        }

        if (best is null || !_segments.TryAllocateIn(best, held->Size, out Extent extent))
            return null;
        HeldObject source = _held.Read(held);
        _segments.Filling += held->Occupied;
        _segments.BeginUse();
        // Its pin is taken over with its place: until then the copy has none, and hard-pinned bytes count once.
        var attributes = new HeldAttributes(ObjectPin.None, source.Attributes.Group);
        var target = new Reservation(source.Key, source.ObjectId, source.Size, [extent], [_segments.BytesOf(extent)],
            attributes);
        held->Pins++;
        _segments.BeginUse();
        _moving = true;
        return new TierMove(source, new ExtentPin(_store, held, held->Extent, _segments.BytesOf(held->Extent)), target,
            tier == Tier.Vram);
    }
}
