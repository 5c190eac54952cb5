// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics.CodeAnalysis;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The holder's object table over its segments. An object goes: reserved (filling), sealed (complete, invisible),
/// committed (visible under its key, may be evicted), then gone, or a zombie while it is pinned. Thread-safe.
/// </summary>
public sealed unsafe class ObjectStore : IDisposable
{
    private const string Stage = "reserve";

    private readonly Lock _gate = new();
    private readonly SegmentSet _segments;
    private readonly HeldTable _held;
    private readonly CancellationTokenSource _closing = new();
    private bool _closed;

    private ObjectStore(SegmentSet segments, IEvictionPolicy policy, TimeProvider time, double hardPinRatio,
        TierOptions tiers)
    {
        var groups = new HeldGroups();
        _segments = segments;
        var victims = new VictimOrder(policy, groups, time);
        _held = new HeldTable(segments, victims, new HeldCells(groups), (long)(segments.Capacity * hardPinRatio));
        Retired = new RetiredSegments(_gate, segments, _held);
        Tiers = segments.HasTiers ? new StoreTiers(this, _gate, segments, _held, tiers, time) : null;
    }

    /// <summary>The segments, by id.</summary>
    public IReadOnlyList<Segment> Segments => _segments.All;

    /// <summary>What was asked for, with the lengths that there are.</summary>
    internal IReadOnlyList<SegmentOptions> Options => _segments.Options();

    /// <summary>How full the store is at this moment.</summary>
    public StoreUsage Usage
    {
        get
        {
            lock (_gate)
                return StoreUsage.Of(_segments, _held);
        }
    }

    /// <summary>The removal of everything that was heard of last.</summary>
    public long Cleared
    {
        get
        {
            lock (_gate)
                return _held.Cleared;
        }
    }

    /// <summary>The share of the memory that may be hard-pinned from now on, 0 to 1.</summary>
    internal double HardPinRatio { set => _held.HardLimit = (long)(_segments.Capacity * Math.Clamp(value, 0, 1)); }

    /// <summary>Segments that take no more objects.</summary>
    internal RetiredSegments Retired { get; }

    /// <summary>What moves between the memory of the host and that of devices; null: it has not both.</summary>
    internal StoreTiers? Tiers { get; }

    /// <summary>Allocates the segments.</summary>
    /// <param name="options">One entry a segment; none for a node without memory.</param>
    /// <param name="runtime">Where generation words start.</param>
    /// <param name="policy">The order of victims, for this store alone; <see cref="ClockEviction"/> by default.</param>
    /// <param name="hardPinRatio">The share of the memory that may be hard-pinned, 0 to 1.</param>
    /// <param name="tiers">How memory of the host and of devices are used, where it has both.</param>
    /// <returns>The store; InvalidArgument or System at "config:segments"; System at "memory".</returns>
    internal static MeshResult<ObjectStore> Create(IReadOnlyList<SegmentOptions> options, MeshRuntime runtime,
        IEvictionPolicy? policy = null, double hardPinRatio = 0.5, TierOptions? tiers = null)
    {
        MeshResult<SegmentSet> segments = SegmentSet.Create(options, runtime);
        if (segments.Error is { } error)
            return error;
        return new ObjectStore(segments.Value, policy ?? new ClockEviction(), runtime.Time,
            Math.Clamp(hardPinRatio, 0, 1), tiers ?? new TierOptions());
    }

    /// <summary>
    /// Touches in the background the segments that ask for it; ends when they have been, or the store is closed.
    /// </summary>
    public Task TouchAsync(MeshRuntime runtime) => _segments.TouchAsync(runtime, _closing.Token);

    /// <summary>Takes an extent to fill. Never evicts.</summary>
    /// <param name="key">The name the object shall have.</param>
    /// <param name="objectId">Which put writes it; not 0.</param>
    /// <param name="size">Size in bytes; 0 is legal.</param>
    /// <param name="attributes">Pin and group.</param>
    /// <returns>
    /// The reservation; NoSpace when no hole fits; PinLimit; InvalidKey; InvalidArgument for what could never be held;
    /// Closed.
    /// </returns>
    public MeshResult<Reservation> Reserve(MeshKey key, ulong objectId, long size, HeldAttributes attributes = default)
    {
        if ((key.Validate() ?? attributes.Validate(Stage) ?? _segments.Unfit(Stage, objectId, size)) is { } unfit)
            return unfit;
        long occupied = ExtentAllocator.Rounded(size);
        long largest;
        lock (_gate)
        {
            if (_closed)
                return new MeshError(MeshErrorCode.Closed, Stage, "the store is closed");
            if (!_held.TryTakeHard(attributes.Pin, occupied))
                return _held.HardFull(Stage, occupied);
            if (_segments.TryAllocate(size, out Extent[]? extents, out largest))
            {
                _segments.Filling += occupied;
                _segments.BeginUse();
                var bytes = Array.ConvertAll(extents, _segments.BytesOf);
                return new Reservation(key, objectId, size, extents, bytes, attributes);
            }

            _held.GiveHard(attributes.Pin, occupied);
        }

        return SegmentSet.Full(Stage, size, largest);
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
        bool last;
        lock (_gate)
        {
            if (!End(reservation))
                return false;
            held = _held.Seal(reservation, checksum);
            last = _segments.EndUse();
        }

        _segments.DisposeIf(last);
        return true;
    }

    /// <summary>Gives a reservation up; without effect on one that has ended.</summary>
    public void Abort(Reservation reservation)
    {
        ArgumentNullException.ThrowIfNull(reservation);
        bool last;
        lock (_gate)
        {
            if (!End(reservation))
                return;
            _held.GiveHard(reservation.Attributes.Pin, ExtentAllocator.Rounded(reservation.Size));
            foreach (Extent extent in reservation.Extents)
            {
                _segments.Invalidate(extent);
                _segments.Release(extent);
            }

            last = _segments.EndUse();
        }

        _segments.DisposeIf(last);
    }

    /// <summary>Frees a sealed object that its owner did not want; without effect on any other.</summary>
    public void Discard(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        lock (_gate)
            _held.Discard(held);
    }

    /// <summary>
    /// Makes a sealed object visible under its key. An older version there is dropped. Where the version there is
    /// as great or greater, this object is discarded.
    /// </summary>
    public CommitOutcome TryCommit(HeldObject held, CommitAs record)
    {
        ArgumentNullException.ThrowIfNull(held);
        if (record.Version.IsNone)
            throw new ArgumentException("a record without a version is not committed", nameof(record));
        lock (_gate)
        {
            if (!_closed)
                return _held.Commit(held, record);
            _held.Discard(held);
            return CommitOutcome.Superseded;
        }
    }

    /// <summary><see cref="TryCommit"/> under its own id, where nothing was ever cleared.</summary>
    /// <returns>Whether it is visible now; false too when it was discarded before or the store is closed.</returns>
    public bool Commit(HeldObject held, RecordVersion version) =>
        TryCommit(held, new CommitAs(version)) == CommitOutcome.Visible;

    /// <summary>The committed object under <paramref name="key"/>.</summary>
    public bool TryFind(in MeshKey key, [NotNullWhen(true)] out HeldObject? held)
    {
        lock (_gate)
        {
            HeldCell* cell = _closed ? null : _held.Find(key);
            held = cell is null ? null : _held.Read(cell);
        }

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
            HeldCell* held = _held.Find(key, objectId);
            if (held is null)
                return false;
            _held.Leave(held);
            return true;
        }
    }

    /// <summary>Numbers a committed object anew.</summary>
    /// <returns>False when it is not there, or has this or a greater version.</returns>
    public bool SetVersion(in MeshKey key, ulong objectId, RecordVersion version)
    {
        lock (_gate)
        {
            HeldCell* held = _held.Find(key, objectId);
            if (held is null || held->Version >= version)
                return false;
            held->Version = version;
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
            HeldCell* held = _closed ? null : segment.Live.Find(offset);
            if (held is null || segment.Generations.Read(offset) != generation)
                return false;
            foreach (ref readonly Extent extent in HeldCell.ExtentsOf(held))
            {
                if (extent.Generation == generation)
                    pin = new ExtentPin(this, held, extent, _segments.BytesOf(extent));
            }

            if (pin is null)
                return false;
            held->Pins++;
            _segments.BeginUse();
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
            return _closed ? 0 : _held.List(fromHash, toHashInclusive, max, into);
    }

    /// <summary>
    /// Appends victims until they occupy <paramref name="bytes"/>, or there are no more: in the policy's order, then
    /// soft-pinned ones; of a group one stands for all. Each must end in <see cref="Drop"/> or
    /// <see cref="RefuseVictim"/>; it is not proposed again before.
    /// </summary>
    public void ProposeVictims(long bytes, List<HeldObject> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        lock (_gate)
            _held.Propose(bytes, into);
    }

    /// <summary>The owner keeps a proposed victim: it goes to the back. Without effect on any other object.</summary>
    public void RefuseVictim(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        lock (_gate)
            _held.Refused(held);
    }

    /// <summary>Whether it is a proposed victim: perhaps its owner has given it up already.</summary>
    internal bool IsProposed(HeldObject held)
    {
        lock (_gate)
            return HeldTable.IsProposed(held);
    }

    /// <summary>Drops every object of a group that is not hard-pinned; they are appended.</summary>
    public void DropGroup(string group, List<HeldObject> dropped)
    {
        ArgumentNullException.ThrowIfNull(dropped);
        lock (_gate)
            _held.DropGroup(group, dropped);
    }

    /// <summary>Pins an object at least this hard; a soft pin begins anew.</summary>
    /// <returns>Whether it is there; PinLimit when too much is hard-pinned.</returns>
    public MeshResult<bool> Pin(in MeshKey key, ulong objectId, ObjectPin pin)
    {
        lock (_gate)
            return _held.Pin(key, objectId, pin);
    }

    /// <summary>
    /// Everything was removed, for the <paramref name="cleared"/>th time: nothing older is committed from now on;
    /// <see cref="DropCleared"/> drops what is there.
    /// </summary>
    public void Clear(long cleared)
    {
        lock (_gate)
            _held.Clear(cleared);
    }

    /// <summary>Drops what was cleared, at most about <paramref name="max"/> objects looked at.</summary>
    /// <returns>Where the next page starts, or null at the end.</returns>
    public ulong? DropCleared(ulong from, int max)
    {
        lock (_gate)
            return _held.DropCleared(from, max);
    }

    /// <summary>
    /// Closes the store: nothing is found or reserved any more. Memory that is pinned or being filled stays until
    /// the last of these has ended.
    /// </summary>
    public void Dispose()
    {
        bool last;
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
            Retired.Close();
            Tiers?.Close();
            last = _segments.Close();
        }

        _segments.DisposeIf(last);
        _closing.Cancel();
        _closing.Dispose();
    }

    /// <summary>What can still become an object.</summary>
    internal OpenWords OpenWords()
    {
        lock (_gate)
            return _segments.Open();
    }

    /// <summary>Ends a pin.</summary>
    internal void Unpin(HeldCell* held)
    {
        bool last;
        lock (_gate)
        {
            _held.Unpin(held);
            last = _segments.EndUse();
        }

        _segments.DisposeIf(last);
    }

    private bool End(Reservation reservation)
    {
        if (reservation.Ended)
            return false;
        reservation.Ended = true;
        _segments.Filling -= ExtentAllocator.Rounded(reservation.Size);
        return true;
    }
}
