// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// What goes over a connection of the shm lane, little-endian. Request, 8 bytes: version, first segment. Answer: four
/// words (version, segments in all, first, count), then for each the lengths of its memory and of its generation
/// table, with two read-only descriptors in the same order.
/// </summary>
internal static class ShmFrame
{
    public const int Version = 1;
    public const int RequestBytes = 8;
    public const int HeaderBytes = 16;
    public const int SegmentBytes = 16;

    /// <summary>Most segments an answer.</summary>
    public const int PageSegments = DescriptorMessage.MostDescriptors / 2;

    public const int MostBytes = HeaderBytes + (PageSegments * SegmentBytes);

    public static byte[] Request(int first)
    {
        byte[] request = new byte[RequestBytes];
        BinaryPrimitives.WriteInt32LittleEndian(request, Version);
        BinaryPrimitives.WriteInt32LittleEndian(request.AsSpan(4), first);
        return request;
    }

    /// <summary>The first segment asked for, or -1 when this is no request.</summary>
    public static int FirstOf(ReadOnlySpan<byte> request) =>
        BinaryPrimitives.ReadInt32LittleEndian(request) == Version
            ? BinaryPrimitives.ReadInt32LittleEndian(request[4..])
            : -1;

    public static void WriteHeader(Span<byte> answer, int total, int first, int count)
    {
        BinaryPrimitives.WriteInt32LittleEndian(answer, Version);
        BinaryPrimitives.WriteInt32LittleEndian(answer[4..], total);
        BinaryPrimitives.WriteInt32LittleEndian(answer[8..], first);
        BinaryPrimitives.WriteInt32LittleEndian(answer[12..], count);
    }

    public static void WriteSegment(Span<byte> answer, int index, long memoryBytes, long tableBytes)
    {
        var entry = answer[(HeaderBytes + (index * SegmentBytes))..];
        BinaryPrimitives.WriteInt64LittleEndian(entry, memoryBytes);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], tableBytes);
    }

    /// <summary>The header of an answer; false when it is none, or does not fit the bytes and descriptors.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> answer, int first, int descriptors, out int total,
        out int count)
    {
        total = count = 0;
        if (answer.Length < HeaderBytes || BinaryPrimitives.ReadInt32LittleEndian(answer) != Version)
            return false;
        total = BinaryPrimitives.ReadInt32LittleEndian(answer[4..]);
        count = BinaryPrimitives.ReadInt32LittleEndian(answer[12..]);
        return BinaryPrimitives.ReadInt32LittleEndian(answer[8..]) == first && count is >= 0 and <= PageSegments
            && answer.Length == HeaderBytes + (count * SegmentBytes) && descriptors == 2 * count
            && total >= first + count && (count > 0 || total == first);
    }

    public static (long MemoryBytes, long TableBytes) ReadSegment(ReadOnlySpan<byte> answer, int index)
    {
        var entry = answer[(HeaderBytes + (index * SegmentBytes))..];
        return (BinaryPrimitives.ReadInt64LittleEndian(entry), BinaryPrimitives.ReadInt64LittleEndian(entry[8..]));
    }
}
