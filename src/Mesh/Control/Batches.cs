// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Control;

/// <summary>Cuts lists into batches that fit a frame.</summary>
internal static class Batches
{
    /// <summary>Batches of at most 1,024 records or 512 KiB.</summary>
    public static IEnumerable<KeyedRecord[]> Of(IReadOnlyList<KeyedRecord> records) =>
        Cut(records, static record => record.WireBytes);

    /// <summary>Batches of at most 1,024 keys or 512 KiB.</summary>
    public static IEnumerable<T[]> Cut<T>(IReadOnlyList<T> items, Func<T, int> bytesOf)
    {
        int start = 0, bytes = 0;
        for (int i = 0; i < items.Count; i++)
        {
            int size = bytesOf(items[i]);
            if (i > start && (i - start >= Wire.MaxBatch || bytes + size > Wire.BatchBytes))
            {
                yield return Slice(items, start, i);
                start = i;
                bytes = 0;
            }

            bytes += size;
        }

        if (start < items.Count)
            yield return Slice(items, start, items.Count);
    }

    private static T[] Slice<T>(IReadOnlyList<T> items, int start, int end)
    {
        var slice = new T[end - start];
        for (int i = start; i < end; i++)
            slice[i - start] = items[i];
        return slice;
    }
}
