// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.Intrinsics.X86;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Records by key, off the garbage-collected heap. Each slot has a little open-addressed table of its own, so that a
/// slot is streamed, counted and dropped without looking at another, and one that grows moves only its own few cells:
/// no pause grows with the number of keys. A record takes 64 bytes, 32 a replica, and the key; its cell 8 bytes, of
/// which at least three in eight are in use.
/// </summary>
/// <remarks>Not thread-safe by slot: the caller holds <see cref="LockOf"/> of the slot around every use.</remarks>
internal sealed unsafe class DirectoryTable : IDisposable
{
    private const int LockCount = 1024;
    private const int FirstCells = 4;

    /// <summary>Cells that are looked at for a record to fetch: those of one line.</summary>
    private const int CellsAhead = 8;

    /// <summary>A record with one replica and a key of 16 bytes.</summary>
    private const int ShortRecord = 112;

    /// <summary>
    /// Larger tables come from the C library and are given back to it: nothing reads them without a lock.
    /// </summary>
    private const int FewCells = NativeArena.MostBytes / sizeof(ulong);
    private readonly object[] _locks = new object[LockCount];
    private readonly NativeArena _arena = new();
    private readonly int _shift;
    private readonly SlotHead* _slots;
    private long _records;
    private long _cleared;

    public DirectoryTable(int slots)
    {
        Slots = slots;
        _shift = 64 - int.Log2(slots);
        _slots = NativePages.MapHuge<SlotHead>(slots);
        for (int i = 0; i < LockCount; i++)
            _locks[i] = new object();
    }

    // Not in Dispose: a late handler may still look at the heads, which say "empty" by then.
    ~DirectoryTable() => NativePages.Unmap(_slots, Slots);

    /// <summary>Number of slots.</summary>
    public int Slots { get; }

    /// <summary>Records and tombstones in all slots.</summary>
    public long Count => Volatile.Read(ref _records);

    /// <summary>How often everything was removed; a slot forgets older records when it is next looked at.</summary>
    public long Cleared => Volatile.Read(ref _cleared);

    /// <summary>The slot of a key hash.</summary>
    public int SlotOf(ulong hash) => (int)(hash >> _shift);

    /// <summary>The lock that guards a slot.</summary>
    public object LockOf(int slot) => _locks[slot & (LockCount - 1)];

    /// <summary>Records and tombstones of one slot.</summary>
    public int CountOf(int slot) => _slots[slot].Count;

    /// <summary>The greatest counter seen in a slot.</summary>
    public long CounterOf(int slot) => _slots[slot].Counter;

    /// <summary>Everything was removed for the <paramref name="cleared"/>th time; false when that is known.</summary>
    public bool ClearAll(long cleared)
    {
        long known = Cleared;
        while (cleared > known)
        {
            long seen = Interlocked.CompareExchange(ref _cleared, cleared, known);
            if (seen == known)
                return true;
            known = seen;
        }

        return false;
    }

    /// <summary>
    /// The removal of everything after which all records of a slot were numbered, as it was when the slot was looked at
    /// last: asking must not move it, or a record found before would be gone.
    /// </summary>
    public long ClearedOf(int slot) => _slots[slot].Cleared;

    /// <summary>Finds a record.</summary>
    public bool TryFind(int slot, in MeshKey key, out RecordRef record) =>
        TryFind(slot, key.Hash, key.Bytes, out record);

    /// <summary>Finds the record of a key of which only the bytes and their hash are at hand.</summary>
    public bool TryFind(int slot, ulong hash, ReadOnlySpan<byte> key, out RecordRef record)
    {
        int cell = Find(slot, hash, key);
        record = new RecordRef(cell < 0 ? null : CellTable.RecordIn(_slots[slot].Table.Cells[cell]));
        return cell >= 0;
    }

    /// <summary>
    /// Has the processor fetch a slot's head: in a batch the waits for memory overlap. Needs no lock.
    /// </summary>
    public void Prefetch(int slot)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(_slots + slot);
    }

    /// <summary>
    /// Has the processor fetch the cell a key would be in; needs no lock, as nothing is read through it.
    /// </summary>
    public void PrefetchCell(int slot, ulong hash)
    {
        var table = _slots[slot].Table;
        if (Sse.IsSupported && table.Capacity > 0)
            Sse.Prefetch0(table.Cells + table.HomeOf(hash));
    }

    /// <summary>
    /// Has the processor fetch the record of a key; needs no lock: cells that were given back stay readable, and an
    /// address that is old is only fetched, never used.
    /// </summary>
    public void PrefetchRecord(int slot, ulong hash)
    {
        var table = _slots[slot].Table;
        if (!Sse.IsSupported || table.Capacity is 0 or > FewCells)
            return;
        int mask = table.Capacity - 1;
        int at = table.HomeOf(hash);
        for (int i = 0; i < CellsAhead; i++, at = (at + 1) & mask)
        {
            ulong cell = table.Cells[at];
            if (cell == 0)
                return;
            if (!CellTable.MayBeOf(cell, hash))
                continue;
            // With one replica and a short key it ends in the second line, or in the third.
            var record = (byte*)CellTable.RecordIn(cell);
            Sse.Prefetch0(record);
            Sse.Prefetch0(record + 64);
            Sse.Prefetch0(record + ShortRecord - 1);
            return;
        }
    }

    /// <summary>
    /// Writes a record in place of what the key had; keeps no heat mark. One that was removed with everything is not
    /// written.
    /// </summary>
    public void Set(int slot, in MeshKey key, ObjectRecord record)
    {
        Remove(slot, key);
        ref var head = ref Fresh(slot);
        if (record.Cleared < head.Cleared)
            return;
        if ((head.Count + 1) * 8 > head.Table.Capacity * 7)
            Grow(ref head);
        int replicas = record.Replicas.Length;
        var made = (RecordHead*)_arena.Take(RecordHead.BytesOf(replicas, key.Bytes.Length));
        *made = new RecordHead
        {
            Hash = key.Hash,
            Epoch = record.Version.Epoch,
            Revision = record.Version.Revision,
            Counter = record.Version.Counter,
            ObjectId = record.ObjectId,
            Size = record.Size,
            Checksum = record.Checksum,
            KeyLength = key.Bytes.Length,
            Replicas = (ushort)replicas,
            Flags = record.Removed ? RecordHead.Tombstone : (byte)0,
        };
        var cells = (ReplicaCell*)(made + 1);
        for (int i = 0; i < replicas; i++)
            cells[i] = new ReplicaCell(record.Replicas[i]);
        key.Bytes.CopyTo(new Span<byte>(cells + replicas, key.Bytes.Length));
        Insert(ref head, CellTable.CellOf(key.Hash, made));
        head.Count++;
        head.Counter = Math.Max(head.Counter, record.Version.Counter);
        Interlocked.Increment(ref _records);
    }

    /// <summary>Removes what the key has.</summary>
    public bool Remove(int slot, in MeshKey key)
    {
        int hole = Find(slot, key.Hash, key.Bytes);
        if (hole < 0)
            return false;
        ref var head = ref _slots[slot];
        Free(CellTable.RecordIn(head.Table.Cells[hole]));
        // Those behind that would not be found past an empty cell move up.
        int mask = head.Table.Capacity - 1;
        for (int at = (hole + 1) & mask; head.Table.Cells[at] != 0; at = (at + 1) & mask)
        {
            int home = head.Table.HomeOf(CellTable.RecordIn(head.Table.Cells[at])->Hash);
            if (((at - home) & mask) < ((at - hole) & mask))
                continue;
            head.Table.Cells[hole] = head.Table.Cells[at];
            hole = at;
        }

        head.Table.Cells[hole] = 0;
        head.Count--;
        Interlocked.Decrement(ref _records);
        return true;
    }

    /// <summary>
    /// Adds a slot's records to <paramref name="into"/>, those that pass <paramref name="test"/> if given.
    /// </summary>
    public void CopySlot(int slot, List<KeyedRecord> into, RecordTest? test = null)
    {
        ref var head = ref Fresh(slot);
        for (int cell = 0; cell < head.Table.Capacity; cell++)
        {
            if (head.Table.Cells[cell] == 0)
                continue;
            var record = new RecordRef(CellTable.RecordIn(head.Table.Cells[cell]));
            if (test is null || test(record))
            {
                into.Add(new KeyedRecord(new MeshKey(record.KeySpan.ToArray()),
                    record.ToRecord() with { Cleared = head.Cleared }));
            }
        }
    }

    /// <summary>
    /// Adds the records of a slot from <paramref name="position"/> on, until the page is full. A record's position is
    /// its hash with the bits reversed: in that order a table that has grown meanwhile goes on where it was, because
    /// cells are chosen by the hash's low bits. Records of one cell stay together.
    /// </summary>
    /// <returns>Whether that was the last part; if not, <paramref name="position"/> is where to go on.</returns>
    public bool CopyPart(int slot, ref ulong position, SlotPart part)
    {
        ref var head = ref Fresh(slot);
        if (head.Count == 0)
            return true;
        int bits = int.Log2(head.Table.Capacity);
        int mask = head.Table.Capacity - 1;
        for (ulong step = position >> (64 - bits); step < (ulong)head.Table.Capacity; step++)
        {
            int home = (int)(BitReversal.Of(step) >> (64 - bits));
            part.Mark();
            for (int at = home; head.Table.Cells[at] != 0; at = (at + 1) & mask)
            {
                ulong hash = CellTable.RecordIn(head.Table.Cells[at])->Hash;
                if (head.Table.HomeOf(hash) == home && BitReversal.Of(hash) >= position)
                    part.Add(new RecordRef(CellTable.RecordIn(head.Table.Cells[at])), head.Cleared);
            }

            if (!part.IsOver)
                continue;
            part.CutBack();
            position = Math.Max(position, step << (64 - bits));
            return false;
        }

        return true;
    }

    /// <summary>Count and digest of the copies that one holder has on record in a slot.</summary>
    public SlotSummary SummarizeOf(int slot, ulong incarnation)
    {
        ref var head = ref Fresh(slot);
        int count = 0;
        ulong digest = 0;
        for (int cell = 0; cell < head.Table.Capacity; cell++)
        {
            if (head.Table.Cells[cell] == 0)
                continue;
            var record = new RecordRef(CellTable.RecordIn(head.Table.Cells[cell]));
            if (record.Removed || record.ReplicaOf(incarnation) is not { Incarnation: not 0 } copy)
                continue;
            count++;
            digest += RecordDigest.OfCopy(record, copy);
        }

        return new SlotSummary(slot, count, digest);
    }

    /// <summary>Drops every record of a slot.</summary>
    public void Clear(int slot)
    {
        ref var head = ref _slots[slot];
        for (int cell = 0; cell < head.Table.Capacity; cell++)
        {
            if (head.Table.Cells[cell] != 0)
                Free(CellTable.RecordIn(head.Table.Cells[cell]));
        }

        Interlocked.Add(ref _records, -head.Count);
        var old = head;
        head = new SlotHead { Counter = head.Counter, Cleared = head.Cleared };
        if (old.Table.Capacity > 0)
            _arena.Give(old.Table.Cells, old.Table.Capacity * sizeof(ulong));
    }

    /// <summary>Drops every record; the memory itself goes when nobody can look at it any more.</summary>
    public void Dispose()
    {
        for (int slot = 0; slot < Slots; slot++)
        {
            lock (LockOf(slot))
                Clear(slot);
        }
    }

    private static void Insert(ref SlotHead head, ulong cell)
    {
        int mask = head.Table.Capacity - 1;
        int at = head.Table.HomeOf(CellTable.RecordIn(cell)->Hash);
        while (head.Table.Cells[at] != 0)
            at = (at + 1) & mask;
        head.Table.Cells[at] = cell;
    }

    /// <summary>A slot without the records that were there when everything was removed last.</summary>
    private ref SlotHead Fresh(int slot)
    {
        ref var head = ref _slots[slot];
        long cleared = Cleared;
        if (head.Cleared < cleared)
        {
            Clear(slot);
            head.Cleared = cleared;
        }

        return ref head;
    }

    /// <summary>The cell of a key, or -1.</summary>
    private int Find(int slot, ulong hash, ReadOnlySpan<byte> key)
    {
        ref var head = ref Fresh(slot);
        if (head.Count == 0)
            return -1;
        ulong* cells = head.Table.Cells;
        int mask = head.Table.Capacity - 1;
        for (int at = head.Table.HomeOf(hash); cells[at] != 0; at = (at + 1) & mask)
        {
            ulong cell = cells[at];
            if (!CellTable.MayBeOf(cell, hash))
                continue;
            var record = CellTable.RecordIn(cell);
            if (record->Hash == hash && new RecordRef(record).KeySpan.SequenceEqual(key))
                return at;
        }

        return -1;
    }

    private void Free(RecordHead* record) =>
        _arena.Give(record, RecordHead.BytesOf(record->Replicas, record->KeyLength));

    private void Grow(ref SlotHead head)
    {
        var old = head;
        int capacity = head.Table.Capacity == 0 ? FirstCells : head.Table.Capacity * 2;
        var cells = (ulong*)_arena.Take(capacity * sizeof(ulong));
        new Span<ulong>(cells, capacity).Clear();
        head.Table = new CellTable(cells, capacity);
        for (int cell = 0; cell < old.Table.Capacity; cell++)
        {
            if (old.Table.Cells[cell] != 0)
                Insert(ref head, old.Table.Cells[cell]);
        }

        if (old.Table.Capacity > 0)
            _arena.Give(old.Table.Cells, old.Table.Capacity * sizeof(ulong));
    }

    private struct SlotHead
    {
        public CellTable Table;
        public long Counter;
        public long Cleared;
        public int Count;
    }
}
