// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>What a request of the shm lane asks for. On the wire: values are fixed, new ones are appended.</summary>
internal enum ShmRequest
{
    /// <summary>Descriptors of the segments from the one named on.</summary>
    Map = 1,

    /// <summary>The sender has let go of all it had of the memory: views, reservations, mappings for writing.</summary>
    Bye = 2,
}

/// <summary>The head of an answer of the shm lane.</summary>
/// <param name="Total">Segments in all.</param>
/// <param name="First">The first one of this answer.</param>
/// <param name="Count">How many there are in this answer.</param>
/// <param name="Client">What the reader calls itself in its calls; 0: it may not have views or reservations.</param>
/// <param name="MayWrite">Whether a third descriptor comes with each segment, for writing.</param>
internal readonly record struct ShmHead(int Total, int First, int Count, ulong Client, bool MayWrite)
{
    /// <summary>Descriptors a segment: memory and generation table, and memory once more for writing.</summary>
    public int DescriptorsEach => MayWrite ? 3 : 2;
}

/// <summary>
/// What goes over a connection of the shm lane, little-endian. Request, 12 bytes: version, what, first segment. Answer
/// to Map: a head, then for each segment the lengths of its memory and of its generation table, with its descriptors in
/// the same order. Bye has no answer.
/// </summary>
internal static class ShmFrame
{
    public const int Version = 2;
    public const int RequestBytes = 12;
    public const int HeaderBytes = 32;
    public const int SegmentBytes = 16;

    /// <summary>Most segments an answer.</summary>
    public const int PageSegments = DescriptorMessage.MostDescriptors / 3;

    public const int MostBytes = HeaderBytes + (PageSegments * SegmentBytes);

    public static byte[] Request(ShmRequest what, int first)
    {
        byte[] request = new byte[RequestBytes];
        BinaryPrimitives.WriteInt32LittleEndian(request, Version);
        BinaryPrimitives.WriteInt32LittleEndian(request.AsSpan(4), (int)what);
        BinaryPrimitives.WriteInt32LittleEndian(request.AsSpan(8), first);
        return request;
    }

    /// <summary>Reads a request; false when this is none.</summary>
    public static bool TryReadRequest(ReadOnlySpan<byte> request, out ShmRequest what, out int first)
    {
        what = (ShmRequest)BinaryPrimitives.ReadInt32LittleEndian(request[4..]);
        first = BinaryPrimitives.ReadInt32LittleEndian(request[8..]);
        return BinaryPrimitives.ReadInt32LittleEndian(request) == Version && Enum.IsDefined(what) && first >= 0;
    }

    public static void WriteHead(Span<byte> answer, in ShmHead head)
    {
        BinaryPrimitives.WriteInt32LittleEndian(answer, Version);
        BinaryPrimitives.WriteInt32LittleEndian(answer[4..], head.Total);
        BinaryPrimitives.WriteInt32LittleEndian(answer[8..], head.First);
        BinaryPrimitives.WriteInt32LittleEndian(answer[12..], head.Count);
        BinaryPrimitives.WriteUInt64LittleEndian(answer[16..], head.Client);
        BinaryPrimitives.WriteInt64LittleEndian(answer[24..], head.MayWrite ? 1 : 0);
    }

    /// <summary>The head of an answer; false when it is none, or does not fit the bytes and descriptors.</summary>
    public static bool TryReadHead(ReadOnlySpan<byte> answer, int first, int descriptors, out ShmHead head)
    {
        head = default;
        if (answer.Length < HeaderBytes || BinaryPrimitives.ReadInt32LittleEndian(answer) != Version)
            return false;
        head = new ShmHead(BinaryPrimitives.ReadInt32LittleEndian(answer[4..]),
            BinaryPrimitives.ReadInt32LittleEndian(answer[8..]), BinaryPrimitives.ReadInt32LittleEndian(answer[12..]),
            BinaryPrimitives.ReadUInt64LittleEndian(answer[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(answer[24..]) != 0);
        return head.First == first && head.Count is >= 0 and <= PageSegments
            && answer.Length == HeaderBytes + (head.Count * SegmentBytes)
            && descriptors == head.DescriptorsEach * head.Count
            && head.Total >= first + head.Count && (head.Count > 0 || head.Total == first);
    }

    public static void WriteSegment(Span<byte> answer, int index, long memoryBytes, long tableBytes)
    {
        var entry = answer[(HeaderBytes + (index * SegmentBytes))..];
        BinaryPrimitives.WriteInt64LittleEndian(entry, memoryBytes);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], tableBytes);
    }

    public static (long MemoryBytes, long TableBytes) ReadSegment(ReadOnlySpan<byte> answer, int index)
    {
        var entry = answer[(HeaderBytes + (index * SegmentBytes))..];
        return (BinaryPrimitives.ReadInt64LittleEndian(entry), BinaryPrimitives.ReadInt64LittleEndian(entry[8..]));
    }
}
