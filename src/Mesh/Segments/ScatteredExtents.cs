// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>
/// Room for an object where no single hole is large enough: in the largest holes there are. All extents but the last
/// have whole slices, so that the sums of an extent are sums of the object. Under the lock of the store.
/// </summary>
internal static class ScatteredExtents
{
    /// <summary>Most extents of an object.</summary>
    public const int Most = 64;

    /// <summary>Takes the extents of an object; null, and nothing is taken, when they would be too many.</summary>
    /// <param name="segments">Where from.</param>
    /// <param name="only">The tier, or null: any.</param>
    /// <param name="size">Size of the object, in bytes.</param>
    /// <param name="largest">When it fails: the largest size for which it would not have.</param>
    public static Extent[]? TryTake(SegmentSet segments, Tier? only, long size, out long largest)
    {
        long slice = ObjectSum.SliceBytes(size);
        var taken = new List<Extent>();
        long left = size;
        largest = segments.LargestFreeIn(only);
        while (taken.Count < Most)
        {
            if (segments.TryTake(left, out Extent last, only))
            {
                taken.Add(last);
                return [.. taken];
            }

            long hole = segments.LargestFreeIn(only);
            // The last extent need not have whole slices.
            largest = Math.Max(largest, size - left + hole);
            long part = hole / slice * slice;
            if (part == 0 || !segments.TryTake(part, out Extent extent, only))
                break;
            taken.Add(extent);
            left -= part;
        }

        foreach (Extent extent in taken)
            segments.Release(extent);
        return null;
    }

    /// <summary>Size of the largest object that empty segments can hold, in bytes.</summary>
    public static long Largest(IReadOnlyList<Segment> segments)
    {
        var lengths = new long[segments.Count];
        long all = 0;
        for (int i = 0; i < lengths.Length; i++)
        {
            lengths[i] = segments[i].Length;
            all += lengths[i];
        }

        Array.Sort(lengths);
        long slice = ObjectSum.SliceBytes(all);
        int last = Math.Max(0, lengths.Length - Most);
        long largest = 0;
        for (int i = lengths.Length - 1; i >= last; i--)
            largest += i > last ? lengths[i] / slice * slice : lengths[i];
        return lengths.Length == 0 ? 0 : Math.Max(largest, lengths[^1]);
    }
}
