// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The checksum of objects, in two levels: an object is cut in slices, each with the XxHash3-64 of its bytes; the
/// object's checksum is that of its one slice, or XxHash3-64 over the slice sums, little-endian, with the size as the
/// seed. So it can be computed in any order, while bytes are on their way, and a part of an object can be verified.
/// </summary>
internal static unsafe class ObjectSum
{
    /// <summary>Length of the slices of objects up to 1 GiB, in bytes.</summary>
    public const long SmallestSlice = 64 * 1024;

    /// <summary>Most slices of an object: of larger ones the slices are longer.</summary>
    public const int MostSlices = 16 * 1024;

    /// <summary>
    /// Length of the slices of an object of <paramref name="size"/> bytes; the last one may be shorter.
    /// </summary>
    public static long SliceBytes(long size)
    {
        long slice = SmallestSlice;
        while (slice * MostSlices < size)
            slice *= 2;
        return slice;
    }

    /// <summary>How many slices an object has; an empty one has one.</summary>
    public static int SliceCount(long size) =>
        size == 0 ? 1 : (int)((size + SliceBytes(size) - 1) / SliceBytes(size));

    /// <summary>The sum of one slice.</summary>
    public static ulong OfSlice(byte* bytes, long length) =>
        XxHash3.HashToUInt64(new ReadOnlySpan<byte>(bytes, checked((int)length)));

    /// <summary>The object's checksum, from the sums of all its slices.</summary>
    public static ulong Combine(ReadOnlySpan<ulong> sums, long size) =>
        sums.Length == 1 ? sums[0] : XxHash3.HashToUInt64(MemoryMarshal.AsBytes(sums), size);

    /// <summary>The checksum of bytes that are all there.</summary>
    public static ulong Of(byte* bytes, long size)
    {
        if (size <= SmallestSlice)
            return OfSlice(bytes, size);
        var sums = new SliceSums(size);
        sums.Take(bytes);
        return sums.Checksum;
    }
}

/// <summary>
/// Sums of the slices of an object, or of a run of them, filled while their bytes are moved. Filled by one thread at a
/// time, or by several that fill different slices.
/// </summary>
public sealed class SliceSums
{
    /// <summary>Sums for all slices of an object.</summary>
    public SliceSums(long objectSize)
        : this(objectSize, 0, objectSize)
    {
    }

    /// <summary>Sums for the slices that make up a range.</summary>
    /// <param name="objectSize">Size of the whole object, in bytes: it decides how long a slice is.</param>
    /// <param name="from">Where the range starts: at a slice.</param>
    /// <param name="length">Length of the range: whole slices, or to the end of the object.</param>
    public SliceSums(long objectSize, long from, long length)
    {
        SliceBytes = ObjectSum.SliceBytes(objectSize);
        if (from % SliceBytes != 0 || (length % SliceBytes != 0 && from + length != objectSize))
            throw new ArgumentException($"{length} bytes from {from} are no whole slices of {SliceBytes} bytes");
        ObjectSize = objectSize;
        Length = length;
        First = (int)(from / SliceBytes);
        Values = new ulong[length == 0 ? 1 : (int)((length + SliceBytes - 1) / SliceBytes)];
    }

    private SliceSums(long objectSize, ulong[] values)
    {
        SliceBytes = ObjectSum.SliceBytes(objectSize);
        ObjectSize = Length = objectSize;
        Values = values;
    }

    /// <summary>Size of the whole object, in bytes.</summary>
    public long ObjectSize { get; }

    /// <summary>Length of a slice, in bytes; the last one of the object may be shorter.</summary>
    public long SliceBytes { get; }

    /// <summary>Bytes that the slices have together.</summary>
    public long Length { get; }

    /// <summary>Number of the first slice within the object.</summary>
    public int First { get; }

    /// <summary>One sum a slice, in order.</summary>
    public ulong[] Values { get; }

    /// <summary>
    /// Whether there are none, because the bytes went from one device to another and no processor saw them.
    /// </summary>
    internal bool AreMissing { get; set; }

    /// <summary>The checksum of the object; of sums for all of its slices.</summary>
    public ulong Checksum => ObjectSum.Combine(Values, ObjectSize);

    /// <summary>
    /// Sums that somebody else made; null when they are not those of an object of this size and checksum. Of one slice
    /// none need be given: its sum is the checksum.
    /// </summary>
    internal static SliceSums? From(long objectSize, ulong[]? values, ulong checksum)
    {
        if (values is not { Length: > 0 })
            values = [checksum];
        if (values.Length != ObjectSum.SliceCount(objectSize))
            return null;
        var sums = new SliceSums(objectSize, values);
        return sums.Checksum == checksum ? sums : null;
    }

    /// <summary>Sums to be filled of a part of these: of whole slices, or to the end.</summary>
    /// <param name="from">Where it starts within the object, in bytes.</param>
    /// <param name="length">Its length in bytes.</param>
    public SliceSums PartOf(long from, long length) => new(ObjectSize, from, length);

    /// <summary>Takes the sums of a part over.</summary>
    public void Take(SliceSums part)
    {
        AreMissing |= part.AreMissing;
        part.Values.CopyTo(Values, part.First - First);
    }

    /// <summary>Length of the slice with this index among these, in bytes.</summary>
    public long LengthOf(int index) => Math.Min(SliceBytes, Length - (index * SliceBytes));

    /// <summary>Sums all slices of bytes that are all there.</summary>
    public unsafe void Take(byte* bytes)
    {
        for (int i = 0; i < Values.Length; i++)
            Values[i] = ObjectSum.OfSlice(bytes + (i * SliceBytes), LengthOf(i));
    }
}
