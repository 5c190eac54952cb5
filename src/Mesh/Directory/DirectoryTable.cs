// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Records by key, off the garbage-collected heap. Each slot has a little chained table of its own, so that a slot is
/// streamed, counted and dropped without looking at another, and one that grows moves only its own few records: no
/// pause grows with the number of keys. 72 bytes a record, 32 a replica, the key, and 8 for its bucket.
/// </summary>
/// <remarks>Not thread-safe by slot: the caller holds <see cref="LockOf"/> of the slot around every use.</remarks>
internal sealed unsafe class DirectoryTable : IDisposable
{
    private const int LockCount = 1024;
    private const int FirstBuckets = 4;
    private readonly object[] _locks = new object[LockCount];
    private readonly int _shift;
    private SlotHead* _slots;
    private long _records;

    public DirectoryTable(int slots)
    {
        Slots = slots;
        _shift = 64 - int.Log2(slots);
        _slots = (SlotHead*)NativeMemory.AllocZeroed((nuint)slots, (nuint)sizeof(SlotHead));
        for (int i = 0; i < LockCount; i++)
            _locks[i] = new object();
    }

    /// <summary>Number of slots.</summary>
    public int Slots { get; }

    /// <summary>Records and tombstones in all slots.</summary>
    public long Count => Volatile.Read(ref _records);

    /// <summary>The slot of a key hash.</summary>
    public int SlotOf(ulong hash) => (int)(hash >> _shift);

    /// <summary>The lock that guards a slot.</summary>
    public object LockOf(int slot) => _locks[slot & (LockCount - 1)];

    /// <summary>Records and tombstones of one slot.</summary>
    public int CountOf(int slot) => _slots[slot].Count;

    /// <summary>The greatest counter seen in a slot.</summary>
    public long CounterOf(int slot) => _slots[slot].Counter;

    /// <summary>Finds a record.</summary>
    public bool TryFind(int slot, in MeshKey key, out RecordRef record) =>
        TryFind(slot, key.Hash, key.Bytes, out record);

    /// <summary>Finds the record of a key of which only the bytes and their hash are at hand.</summary>
    public bool TryFind(int slot, ulong hash, ReadOnlySpan<byte> key, out RecordRef record)
    {
        var found = Find(slot, hash, key);
        record = new RecordRef(found);
        return found != null;
    }

    /// <summary>
    /// Has the processor fetch a slot's head: in a batch the waits for memory overlap. Needs no lock.
    /// </summary>
    public void Prefetch(int slot)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(_slots + slot);
    }

    /// <summary>Has the processor fetch the bucket of a key; needs no lock, as nothing is read through it.</summary>
    public void PrefetchBucket(int slot, ulong hash)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(_slots[slot].BucketOf(hash));
    }

    /// <summary>Writes a record in place of what the key had; keeps no heat mark.</summary>
    public void Set(int slot, in MeshKey key, ObjectRecord record)
    {
        Remove(slot, key);
        ref var head = ref _slots[slot];
        if (head.Count >= head.Buckets)
            Grow(ref head);
        int replicas = record.Replicas.Length;
        nuint bytes = (nuint)(sizeof(RecordHead) + (replicas * sizeof(ReplicaCell)) + key.Bytes.Length);
        var made = (RecordHead*)NativeMemory.Alloc(bytes);
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
        var bucket = head.BucketOf(key.Hash);
        made->Next = *bucket;
        *bucket = (nint)made;
        head.Count++;
        head.Counter = Math.Max(head.Counter, record.Version.Counter);
        Interlocked.Increment(ref _records);
    }

    /// <summary>Removes what the key has.</summary>
    public bool Remove(int slot, in MeshKey key)
    {
        ref var head = ref _slots[slot];
        if (head.Count == 0)
            return false;
        var link = head.BucketOf(key.Hash);
        while (*link != 0)
        {
            var record = (RecordHead*)*link;
            if (record->Hash == key.Hash && new RecordRef(record).KeySpan.SequenceEqual(key.Bytes))
            {
                *link = record->Next;
                NativeMemory.Free(record);
                head.Count--;
                Interlocked.Decrement(ref _records);
                return true;
            }

            link = &record->Next;
        }

        return false;
    }

    /// <summary>
    /// Adds a slot's records to <paramref name="into"/>, those that pass <paramref name="test"/> if given.
    /// </summary>
    public void CopySlot(int slot, List<KeyedRecord> into, RecordTest? test = null)
    {
        ref var head = ref _slots[slot];
        for (int bucket = 0; bucket < head.Buckets; bucket++)
        {
            for (var at = (RecordHead*)head.Table[bucket]; at != null; at = (RecordHead*)at->Next)
            {
                var record = new RecordRef(at);
                if (test is not null && !test(record))
                    continue;
                into.Add(new KeyedRecord(new MeshKey(record.KeySpan.ToArray()), record.ToRecord()));
            }
        }
    }

    /// <summary>Count and digest of a slot: the sum of the hashes of its (key, version, replica).</summary>
    public SlotSummary Summarize(int slot)
    {
        ref var head = ref _slots[slot];
        ulong digest = 0;
        for (int bucket = 0; bucket < head.Buckets; bucket++)
        {
            for (var at = (RecordHead*)head.Table[bucket]; at != null; at = (RecordHead*)at->Next)
                digest += RecordDigest.Of(new RecordRef(at));
        }

        return new SlotSummary(slot, head.Count, digest);
    }

    /// <summary>Drops every record of a slot.</summary>
    public void Clear(int slot)
    {
        ref var head = ref _slots[slot];
        for (int bucket = 0; bucket < head.Buckets; bucket++)
        {
            var at = (RecordHead*)head.Table[bucket];
            while (at != null)
            {
                var next = (RecordHead*)at->Next;
                NativeMemory.Free(at);
                at = next;
            }
        }

        Interlocked.Add(ref _records, -head.Count);
        NativeMemory.Free(head.Table);
        head = new SlotHead { Counter = head.Counter };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_slots == null)
            return;
        for (int slot = 0; slot < Slots; slot++)
        {
            lock (LockOf(slot))
                Clear(slot);
        }

        // The slot heads stay: a late handler may still look at them. They go with the process.
    }

    private RecordHead* Find(int slot, ulong hash, ReadOnlySpan<byte> key)
    {
        ref var head = ref _slots[slot];
        if (head.Count == 0)
            return null;
        var at = (RecordHead*)*head.BucketOf(hash);
        while (at != null)
        {
            if (at->Hash == hash && new RecordRef(at).KeySpan.SequenceEqual(key))
                return at;
            at = (RecordHead*)at->Next;
        }

        return null;
    }

    private static void Grow(ref SlotHead head)
    {
        int buckets = head.Buckets == 0 ? FirstBuckets : head.Buckets * 2;
        var old = head;
        head.Table = (nint*)NativeMemory.AllocZeroed((nuint)buckets, (nuint)sizeof(nint));
        head.Buckets = buckets;
        for (int bucket = 0; bucket < old.Buckets; bucket++)
        {
            var at = (RecordHead*)old.Table[bucket];
            while (at != null)
            {
                var next = (RecordHead*)at->Next;
                var into = head.BucketOf(at->Hash);
                at->Next = *into;
                *into = (nint)at;
                at = next;
            }
        }

        NativeMemory.Free(old.Table);
    }

    private struct SlotHead
    {
        public nint* Table;
        public long Counter;
        public int Buckets;
        public int Count;

        /// <summary>The low bits choose the bucket: the top ones are the same in a whole slot.</summary>
        public readonly nint* BucketOf(ulong hash) => Table + (hash & (ulong)(Buckets - 1));
    }
}

/// <summary>The fixed part of a record; replicas and key follow.</summary>
internal struct RecordHead
{
    public const byte Marked = 1;
    public const byte Tombstone = 2;

    public nint Next;
    public ulong Hash;
    public long Epoch;
    public long Revision;
    public long Counter;
    public ulong ObjectId;
    public long Size;

    /// <summary>Of a tombstone: when it was written, in milliseconds of the node's clock.</summary>
    public ulong Checksum;
    public int KeyLength;
    public ushort Replicas;
    public byte Flags;
}

/// <summary>A replica as the table keeps it.</summary>
internal struct ReplicaCell(in Replica replica)
{
    public ulong Incarnation = replica.Incarnation;
    public long Offset = replica.Offset;
    public ulong Generation = replica.Generation;
    public int SegmentId = replica.SegmentId;

    public readonly Replica ToReplica() => new(Incarnation, SegmentId, Offset, Generation);
}
