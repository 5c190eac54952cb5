// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The complete objects of a store and what happens to them: sealed, committed under a key, numbered, given up. Every
/// call is made under the lock of the store.
/// </summary>
internal sealed unsafe class HeldTable(SegmentSet segments, VictimOrder victims, HeldCells cells, long mostHard)
{
    private long _hardLimit = mostHard;
    private readonly HashIndex _index = new(segments.Capacity / ExtentAllocator.Granule);
    private readonly List<nint> _page = [];
    private HeldCell* _moving;
    private HeldCell* _moved;

    /// <summary>Committed objects.</summary>
    public int Count => _index.Count;

    /// <summary>Bytes in sealed and committed objects.</summary>
    public long Live { get; private set; }

    /// <summary>Bytes in objects that left their key while pinned by a reader.</summary>
    public long Zombie { get; private set; }

    /// <summary>Bytes in hard-pinned objects and reservations.</summary>
    public long Hard { get; private set; }

    /// <summary>Most bytes that may be hard-pinned.</summary>
    public long HardLimit
    {
        get => Volatile.Read(ref _hardLimit);
        set => Volatile.Write(ref _hardLimit, value);
    }

    /// <summary>The removal of everything heard of last; objects that are older are dropped.</summary>
    public long Cleared { get; private set; }

    /// <summary>The committed object under a key, or null.</summary>
    public HeldCell* Find(in MeshKey key) => _index.Find(key);

    /// <summary>The committed object under a key, if it is this one; else null.</summary>
    public HeldCell* Find(in MeshKey key, ulong objectId)
    {
        HeldCell* held = _index.Find(key);
        return held is not null && held->ObjectId == objectId ? held : null;
    }

    /// <summary>See <see cref="ObjectStore.ListRange"/>.</summary>
    public int List(ulong from, ulong toInclusive, int max, List<HeldObject> into)
    {
        _page.Clear();
        int found = _index.List(from, toInclusive, max, _page);
        foreach (nint held in _page)
            into.Add(cells.Read((HeldCell*)held));
        return found;
    }

    /// <summary>See <see cref="ObjectStore.ProposeVictims"/>.</summary>
    public void Propose(long bytes, List<HeldObject> into)
    {
        _page.Clear();
        victims.Propose(bytes, Count, _page);
        foreach (nint held in _page)
            into.Add(cells.Read((HeldCell*)held));
    }

    /// <summary>See <see cref="ObjectStore.IsProposed"/>.</summary>
    public static bool IsProposed(HeldObject item)
    {
        HeldCell* held = HeldCells.Of(item);
        return held is not null && held->Proposed;
    }

    /// <summary>An object as its caller sees it.</summary>
    public HeldObject Read(HeldCell* held) => cells.Read(held);

    /// <summary>Takes hard-pinned bytes; false when they would be more than the limit.</summary>
    public bool TryTakeHard(ObjectPin pin, long occupied)
    {
        if (pin != ObjectPin.Hard)
            return true;
        if (Hard + occupied > HardLimit)
            return false;
        Hard += occupied;
        return true;
    }

    /// <summary>Gives hard-pinned bytes back.</summary>
    public void GiveHard(ObjectPin pin, long occupied) => Hard -= pin == ObjectPin.Hard ? occupied : 0;

    /// <summary>A reservation has become a complete object, which is invisible yet.</summary>
    public HeldObject Seal(Reservation reservation, ulong checksum)
    {
        HeldCell* held = cells.Make(reservation, checksum);
        Live += held->Occupied;
        foreach (ref readonly Extent extent in HeldCell.ExtentsOf(held))
            segments.All[extent.SegmentId].Live.Set(extent.Offset, held);
        return cells.Read(held);
    }

    /// <summary>Makes a sealed object visible under its key; see <see cref="ObjectStore.TryCommit"/>.</summary>
    public CommitOutcome Commit(HeldObject item, in CommitAs record)
    {
        HeldCell* held = HeldCells.Of(item);
        if (held is null || held->State != HeldState.Sealed)
        {
            return held is not null && held->State == HeldState.Committed
                ? CommitOutcome.Visible : CommitOutcome.Superseded;
        }

        if (record.Cleared < Cleared)
            return CommitOutcome.Cleared;
        HeldCell* present = _index.Find(item.Key);
        ulong objectId = record.ObjectId != 0 ? record.ObjectId : item.ObjectId;
        // As the owners do it: of two numbered alike, on two sides of a split, that of the greater id stays.
        if (present is not null && (present->Version > record.Version
            || (present->Version == record.Version && present->ObjectId >= objectId)))
        {
            Leave(held);
            return CommitOutcome.Superseded;
        }

        if (present is not null)
            Leave(present);
        item.Committed(record);
        (held->Version, held->Cleared, held->ObjectId) = (item.Version, item.Cleared, item.ObjectId);
        held->State = HeldState.Committed;
        segments.Settled(item.Extent);
        _index.Add(held);
        victims.Added(held);
        return CommitOutcome.Visible;
    }

    /// <summary>
    /// A sealed copy of a committed object is about to take its place. From now on readers may be told of it, so it
    /// leaves when the object does, before that is answered. There is one such copy at a time.
    /// </summary>
    /// <returns>False when the object is not committed any more: the copy is gone.</returns>
    public bool BeginReplace(HeldObject item, HeldObject copy)
    {
        HeldCell* held = HeldCells.Of(item);
        if (held is null || held->State != HeldState.Committed)
        {
            Discard(copy);
            return false;
        }

        _moving = held;
        _moved = copy.Cell;
        return true;
    }

    /// <summary>The copy of <see cref="BeginReplace"/> becomes the object, and the object leaves.</summary>
    /// <returns>False when the object has left before, and the copy with it.</returns>
    public bool TryReplace()
    {
        if (_moving is null)
            return false;
        HeldCell* held = _moving;
        HeldCell* copy = _moved;
        _moving = _moved = null;
        (copy->Version, copy->Cleared, copy->ObjectId) = (held->Version, held->Cleared, held->ObjectId);
        (copy->Asked, copy->Reads, copy->ReadSince) = (held->Asked, held->Reads, held->ReadSince);
        _index.Remove(held);
        _index.Add(copy);
        victims.Moved(held, copy);
        copy->State = HeldState.Committed;
        segments.Settled(copy->Extent);
        // It has neither key nor pin any more; what is hard-pinned has moved with them.
        held->State = HeldState.Sealed;
        Leave(held);
        return true;
    }

    /// <summary>Frees the copy of <see cref="BeginReplace"/>; without effect when there is none.</summary>
    public void EndReplace()
    {
        HeldCell* copy = _moved;
        _moving = _moved = null;
        if (copy is not null)
            Leave(copy);
    }

    /// <summary>Pins a committed object at least this hard; see <see cref="ObjectStore.Pin"/>.</summary>
    public MeshResult<bool> Pin(in MeshKey key, ulong objectId, ObjectPin pin)
    {
        HeldCell* held = Find(key, objectId);
        if (held is null)
            return false;
        if (pin < held->Pin || pin is ObjectPin.None || (pin == ObjectPin.Hard && held->Pin == ObjectPin.Hard))
            return true;
        if (!TryTakeHard(pin, held->Occupied))
            return HardFull("pin", held->Occupied);
        victims.Pin(held, pin);
        return true;
    }

    /// <summary>Why no more can be hard-pinned.</summary>
    public MeshError HardFull(string stage, long occupied) => new(MeshErrorCode.PinLimit, stage,
        $"{Hard} bytes are hard-pinned and {occupied} more were asked for; the limit is {HardLimit} bytes");

    /// <summary>Everything of an older removal than <paramref name="cleared"/> is to be dropped.</summary>
    public void Clear(long cleared) => Cleared = Math.Max(Cleared, cleared);

    /// <summary>Drops what was cleared, one page; where the next page starts, or null at the end.</summary>
    public ulong? DropCleared(ulong from, int max)
    {
        _page.Clear();
        int found = _index.List(from, ulong.MaxValue, max, _page);
        ulong last = found == 0 ? 0 : ((HeldCell*)_page[^1])->Hash;
        foreach (nint held in _page)
        {
            if (((HeldCell*)held)->Cleared < Cleared)
                Leave((HeldCell*)held);
        }

        return found < max || last == ulong.MaxValue ? null : last + 1;
    }

    /// <summary>Drops what has bytes in a segment, one page; where the next page starts, or null at the end.</summary>
    public ulong? DropIn(int segmentId, ulong from, int max, List<HeldObject> dropped)
    {
        _page.Clear();
        int found = _index.List(from, ulong.MaxValue, max, _page);
        ulong last = found == 0 ? 0 : ((HeldCell*)_page[^1])->Hash;
        foreach (nint held in _page)
        {
            bool here = false;
            foreach (ref readonly Extent extent in HeldCell.ExtentsOf((HeldCell*)held))
                here |= extent.SegmentId == segmentId;
            if (!here)
                continue;
            dropped.Add(cells.Read((HeldCell*)held));
            Leave((HeldCell*)held);
        }

        return found < max || last == ulong.MaxValue ? null : last + 1;
    }

    /// <summary>Drops every object of a group that is not hard-pinned; they are appended.</summary>
    public void DropGroup(string name, List<HeldObject> dropped)
    {
        _page.Clear();
        victims.ListGroup(name, _page);
        foreach (nint held in _page)
        {
            dropped.Add(cells.Read((HeldCell*)held));
            Leave((HeldCell*)held);
        }
    }

    /// <summary>A sealed or committed object leaves: first the word, then the key, the extent once unpinned.</summary>
    public void Leave(HeldCell* held)
    {
        if (held == _moving)
            EndReplace();
        foreach (ref readonly Extent extent in HeldCell.ExtentsOf(held))
        {
            segments.Invalidate(extent);
            segments.All[extent.SegmentId].Live.Set(extent.Offset, null);
        }

        if (held->State == HeldState.Committed)
        {
            _index.Remove(held);
            victims.Removed(held);
        }

        held->Proposed = false;
        GiveHard(held->Pin, held->Occupied);
        Live -= held->Occupied;
        if (held->Pins > 0)
        {
            held->State = HeldState.Zombie;
            Zombie += held->Occupied;
        }
        else
        {
            Free(held);
        }
    }

    /// <summary>Frees a sealed object; without effect on any other.</summary>
    public void Discard(HeldObject item)
    {
        HeldCell* held = HeldCells.Of(item);
        if (held is not null && held->State == HeldState.Sealed)
            Leave(held);
    }

    /// <summary>A proposed victim stays; without effect on any other object.</summary>
    public void Refused(HeldObject item)
    {
        HeldCell* held = HeldCells.Of(item);
        if (held is not null && held->Proposed && held->State == HeldState.Committed)
            victims.Refused(held);
    }

    /// <summary>A reader's pin has ended.</summary>
    public void Unpin(HeldCell* held)
    {
        held->Pins--;
        if (held->Pins > 0 || held->State != HeldState.Zombie)
            return;
        Zombie -= held->Occupied;
        Free(held);
    }

    private void Free(HeldCell* held)
    {
        foreach (ref readonly Extent extent in HeldCell.ExtentsOf(held))
            segments.Release(extent);
        cells.Free(held);
    }
}

/// <summary>What the owners have on record of an object that is committed.</summary>
/// <param name="Version">The version.</param>
/// <param name="Cleared">The removal of everything that came last before it.</param>
/// <param name="ObjectId">The object it is a copy of, or 0: the one it was put as.</param>
public readonly record struct CommitAs(RecordVersion Version, long Cleared = 0, ulong ObjectId = 0);

/// <summary>How a commit ended.</summary>
public enum CommitOutcome
{
    /// <summary>The object is visible under its key.</summary>
    Visible,

    /// <summary>Its key has as great a version or a greater one, or the store is closed: it is gone.</summary>
    Superseded,

    /// <summary>Everything was removed since it was numbered; it stays sealed, to be published anew.</summary>
    Cleared,
}
