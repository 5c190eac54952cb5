// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Numerics;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Committed objects by key, ordered by key hash: up to 65,536 buckets by the top bits (as slots are), each a sorted
/// array, so that a lookup is a short binary search and a slot's objects lie together. Off the heap. Not thread-safe.
/// </summary>
internal sealed unsafe class HashIndex
{
    private const int MaxBits = 16;
    private const int FirstBucketSize = 4;

    private readonly NativeArena _arena = new();
    private readonly Bucket* _buckets;
    private readonly int _shift;

    /// <summary>An empty index for about <paramref name="expected"/> objects, or more.</summary>
    public HashIndex(long expected)
    {
        int bits = Math.Clamp(BitOperations.Log2((ulong)Math.Max(1, expected)), 1, MaxBits);
        _shift = 64 - bits;
        _buckets = NativePages.Map<Bucket>(1L << bits);
    }

    ~HashIndex() => NativePages.Unmap(_buckets, 1L << (64 - _shift));

    /// <summary>Number of objects.</summary>
    public int Count { get; private set; }

    /// <summary>The object under <paramref name="key"/>, or null.</summary>
    public HeldCell* Find(in MeshKey key)
    {
        Bucket* bucket = _buckets + (key.Hash >> _shift);
        for (int at = bucket->Place(key.Hash); at < bucket->Count && bucket->Entries[at].Hash == key.Hash; at++)
        {
            if (bucket->Entries[at].Cell->IsOf(key))
                return bucket->Entries[at].Cell;
        }

        return null;
    }

    /// <summary>Puts <paramref name="cell"/> under its key, where nothing is.</summary>
    public void Add(HeldCell* cell)
    {
        Bucket* bucket = _buckets + (cell->Hash >> _shift);
        if (bucket->Count == bucket->Size)
            Grow(bucket);
        int at = bucket->Place(cell->Hash);
        var entries = new Span<Entry>(bucket->Entries, bucket->Count + 1);
        entries[at..^1].CopyTo(entries[(at + 1)..]);
        entries[at] = new Entry { Hash = cell->Hash, Cell = cell };
        bucket->Count++;
        Count++;
    }

    /// <summary>Takes <paramref name="cell"/> from its key.</summary>
    public void Remove(HeldCell* cell)
    {
        Bucket* bucket = _buckets + (cell->Hash >> _shift);
        var entries = new Span<Entry>(bucket->Entries, bucket->Count);
        int at = bucket->Place(cell->Hash);
        while (at < entries.Length && entries[at].Cell != cell)
            at++;
        if (at == entries.Length)
            return;
        entries[(at + 1)..].CopyTo(entries[at..]);
        bucket->Count--;
        Count--;
    }

    /// <summary>Appends objects with hashes in the range, by hash; stops at a change of hash from max on.</summary>
    /// <returns>How many were appended.</returns>
    public int List(ulong from, ulong toInclusive, int max, List<nint> into)
    {
        int before = into.Count;
        if (from > toInclusive)
            return 0;
        int last = (int)(toInclusive >> _shift);
        ulong previous = 0;
        for (int index = (int)(from >> _shift); index <= last; index++)
        {
            Bucket* bucket = _buckets + index;
            for (int at = bucket->Place(from); at < bucket->Count && bucket->Entries[at].Hash <= toInclusive; at++)
            {
                // Pages are cut between hashes: the next one starts at the last hash + 1.
                if (into.Count - before >= max && previous != bucket->Entries[at].Hash)
                    return into.Count - before;
                previous = bucket->Entries[at].Hash;
                into.Add((nint)bucket->Entries[at].Cell);
            }

            if (into.Count - before >= max)
                break;
        }

        return into.Count - before;
    }

    private void Grow(Bucket* bucket)
    {
        int size = bucket->Size == 0 ? FirstBucketSize : bucket->Size + Math.Max(FirstBucketSize, bucket->Size / 2);
        var entries = (Entry*)_arena.Take(checked(size * sizeof(Entry)));
        if (bucket->Size > 0)
        {
            new Span<Entry>(bucket->Entries, bucket->Count).CopyTo(new Span<Entry>(entries, size));
            _arena.Give(bucket->Entries, bucket->Size * sizeof(Entry));
        }

        bucket->Entries = entries;
        bucket->Size = size;
    }

    private struct Entry
    {
        public ulong Hash;
        public HeldCell* Cell;
    }

    private struct Bucket
    {
        public Entry* Entries;
        public int Count;
        public int Size;

        /// <summary>The first place with this hash or a greater one.</summary>
        public readonly int Place(ulong hash)
        {
            int low = 0;
            int high = Count;
            while (low < high)
            {
                int middle = (low + high) >>> 1;
                if (Entries[middle].Hash < hash)
                    low = middle + 1;
                else
                    high = middle;
            }

            return low;
        }
    }
}
