// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Numerics;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Committed objects by key, ordered by key hash: up to 65,536 buckets by the top bits (as slots are), each a sorted
/// array, so that a lookup is a short binary search and a slot's objects lie together. Not thread-safe.
/// </summary>
internal sealed class HashIndex
{
    private const int MaxBits = 16;
    private const int FirstBucketSize = 4;

    private readonly Bucket[] _buckets;
    private readonly int _shift;

    /// <summary>An empty index for about <paramref name="expected"/> objects, or more.</summary>
    public HashIndex(long expected)
    {
        int bits = Math.Clamp(BitOperations.Log2((ulong)Math.Max(1, expected)), 1, MaxBits);
        _shift = 64 - bits;
        _buckets = new Bucket[1 << bits];
    }

    /// <summary>Number of objects.</summary>
    public int Count { get; private set; }

    /// <summary>The object under <paramref name="key"/>, or null.</summary>
    public HeldObject? Find(in MeshKey key)
    {
        ref Bucket bucket = ref _buckets[key.Hash >> _shift];
        int at = bucket.Place(key.Hash);
        return bucket.Holds(ref at, key) ? bucket.Objects[at] : null;
    }

    /// <summary>Puts <paramref name="held"/> under its key, where nothing is.</summary>
    public void Add(HeldObject held)
    {
        ref Bucket bucket = ref _buckets[held.Key.Hash >> _shift];
        bucket.Insert(bucket.Place(held.Key.Hash), held);
        Count++;
    }

    /// <summary>Takes <paramref name="held"/> from its key.</summary>
    public void Remove(HeldObject held)
    {
        ref Bucket bucket = ref _buckets[held.Key.Hash >> _shift];
        int at = bucket.Place(held.Key.Hash);
        if (!bucket.Holds(ref at, held.Key))
            return;
        bucket.RemoveAt(at);
        Count--;
    }

    /// <summary>Appends objects with hashes in the range, by hash; stops at a change of hash from max on.</summary>
    /// <returns>How many were appended.</returns>
    public int List(ulong from, ulong toInclusive, int max, List<HeldObject> into)
    {
        int before = into.Count;
        if (from > toInclusive)
            return 0;
        int last = (int)(toInclusive >> _shift);
        for (int index = (int)(from >> _shift); index <= last; index++)
        {
            ref Bucket bucket = ref _buckets[index];
            for (int at = bucket.Place(from); at < bucket.Count && bucket.Hashes[at] <= toInclusive; at++)
            {
                // Pages are cut between hashes: the next one starts at the last hash + 1.
                if (into.Count - before >= max && into[^1].Key.Hash != bucket.Hashes[at])
                    return into.Count - before;
                into.Add(bucket.Objects[at]);
            }

            if (into.Count - before >= max)
                break;
        }

        return into.Count - before;
    }

    private struct Bucket
    {
        public ulong[] Hashes;
        public HeldObject[] Objects;
        public int Count;

        /// <summary>The first place with this hash or a greater one.</summary>
        public readonly int Place(ulong hash)
        {
            int low = 0;
            int high = Count;
            while (low < high)
            {
                int middle = (low + high) >>> 1;
                if (Hashes[middle] < hash)
                    low = middle + 1;
                else
                    high = middle;
            }

            return low;
        }

        /// <summary>Moves <paramref name="at"/> over keys of the same hash to this key.</summary>
        public readonly bool Holds(ref int at, in MeshKey key)
        {
            for (; at < Count && Hashes[at] == key.Hash; at++)
            {
                if (Objects[at].Key.Equals(key))
                    return true;
            }

            return false;
        }

        public void Insert(int at, HeldObject held)
        {
            if (Hashes is null || Count == Hashes.Length)
            {
                int size = Hashes is null ? FirstBucketSize : Count + Math.Max(FirstBucketSize, Count / 2);
                Array.Resize(ref Hashes, size);
                Array.Resize(ref Objects, size);
            }

            Array.Copy(Hashes, at, Hashes, at + 1, Count - at);
            Array.Copy(Objects, at, Objects, at + 1, Count - at);
            Hashes[at] = held.Key.Hash;
            Objects[at] = held;
            Count++;
        }

        public void RemoveAt(int at)
        {
            Count--;
            Array.Copy(Hashes, at + 1, Hashes, at, Count - at);
            Array.Copy(Objects, at + 1, Objects, at, Count - at);
            Objects[Count] = null!;
        }
    }
}
