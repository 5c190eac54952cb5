// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Text;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>What a request of the shm lane asks for. On the wire: values are fixed, new ones are appended.</summary>
internal enum ShmRequest
{
    /// <summary>Descriptors of the segments from the one named on.</summary>
    Map = 1,

    /// <summary>The sender has let go of all it had of the memory: views, reservations, mappings for writing.</summary>
    Bye = 2,

    /// <summary>As Map, of a node of whose segments devices have some: Map is refused there.</summary>
    MapDevices = 3,
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

/// <summary>What an answer says of one segment.</summary>
/// <param name="MemoryBytes">Length of its memory.</param>
/// <param name="TableBytes">Length of its generation table.</param>
/// <param name="Location">The device that has the memory, or empty; then the table's descriptor comes alone.</param>
/// <param name="Handle">By what the memory is opened there; empty: it is not.</param>
internal readonly record struct ShmEntry(long MemoryBytes, long TableBytes, string Location = "", byte[]? Handle = null)
{
    /// <summary>Whether a device has the memory.</summary>
    public bool IsOnDevice => Location.Length > 0;
}

/// <summary>
/// What goes over a connection of the shm lane, little-endian. Request, 12 bytes: version, what, first segment. Answer
/// to Map: a head, then for each segment the lengths of its memory and of its generation table, with its descriptors in
/// the same order; to MapDevices also, in fixed places, the device and its handle. Bye has no answer.
/// </summary>
internal static class ShmFrame
{
    public const int Version = 2;
    public const int RequestBytes = 12;
    public const int HeaderBytes = 32;
    public const int SegmentBytes = 16;
    public const int DeviceSegmentBytes = SegmentBytes + 8 + MostLocation + MostHandle;
    public const int MostLocation = 32;
    public const int MostHandle = 64;

    /// <summary>Most segments an answer.</summary>
    public const int PageSegments = DescriptorMessage.MostDescriptors / 3;

    public const int MostBytes = HeaderBytes + (PageSegments * DeviceSegmentBytes);

    /// <summary>Bytes of an answer that say something of one segment.</summary>
    public static int EntryBytes(ShmRequest what) =>
        what == ShmRequest.MapDevices ? DeviceSegmentBytes : SegmentBytes;

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
    public static bool TryReadHead(ReadOnlySpan<byte> answer, ShmRequest what, int first, int descriptors,
        out ShmHead head)
    {
        head = default;
        if (answer.Length < HeaderBytes || BinaryPrimitives.ReadInt32LittleEndian(answer) != Version)
            return false;
        head = new ShmHead(BinaryPrimitives.ReadInt32LittleEndian(answer[4..]),
            BinaryPrimitives.ReadInt32LittleEndian(answer[8..]), BinaryPrimitives.ReadInt32LittleEndian(answer[12..]),
            BinaryPrimitives.ReadUInt64LittleEndian(answer[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(answer[24..]) != 0);
        return head.First == first && head.Count is >= 0 and <= PageSegments
            && answer.Length == HeaderBytes + (head.Count * EntryBytes(what))
            && descriptors == Descriptors(answer, what, head)
            && head.Total >= first + head.Count && (head.Count > 0 || head.Total == first);
    }

    public static void WriteSegment(Span<byte> answer, ShmRequest what, int index, in ShmEntry segment)
    {
        var entry = answer[(HeaderBytes + (index * EntryBytes(what)))..];
        BinaryPrimitives.WriteInt64LittleEndian(entry, segment.MemoryBytes);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], segment.TableBytes);
        if (what != ShmRequest.MapDevices)
            return;
        entry[SegmentBytes..DeviceSegmentBytes].Clear();
        byte[] handle = segment.Handle is { Length: <= MostHandle } known ? known : [];
        BinaryPrimitives.WriteInt32LittleEndian(entry[SegmentBytes..], handle.Length);
        BinaryPrimitives.WriteInt32LittleEndian(entry[(SegmentBytes + 4)..], segment.Location.Length);
        Encoding.ASCII.GetBytes(segment.Location, entry.Slice(SegmentBytes + 8, MostLocation));
        handle.CopyTo(entry[(SegmentBytes + 8 + MostLocation)..]);
    }

    /// <summary>What an answer with a legal head says of a segment; null: nonsense.</summary>
    public static ShmEntry? ReadSegment(ReadOnlySpan<byte> answer, ShmRequest what, int index)
    {
        var entry = answer[(HeaderBytes + (index * EntryBytes(what)))..];
        var segment = new ShmEntry(BinaryPrimitives.ReadInt64LittleEndian(entry),
            BinaryPrimitives.ReadInt64LittleEndian(entry[8..]));
        if (what != ShmRequest.MapDevices)
            return segment;
        int handle = BinaryPrimitives.ReadInt32LittleEndian(entry[SegmentBytes..]);
        int location = BinaryPrimitives.ReadInt32LittleEndian(entry[(SegmentBytes + 4)..]);
        if (handle is < 0 or > MostHandle || location is < 0 or > MostLocation)
            return null;
        return segment with
        {
            Location = Encoding.ASCII.GetString(entry.Slice(SegmentBytes + 8, location)),
            Handle = entry.Slice(SegmentBytes + 8 + MostLocation, handle).ToArray(),
        };
    }

    /// <summary>How many descriptors come with an answer; -1: it is nonsense.</summary>
    private static int Descriptors(ReadOnlySpan<byte> answer, ShmRequest what, in ShmHead head)
    {
        if (what != ShmRequest.MapDevices)
            return head.DescriptorsEach * head.Count;
        int all = 0;
        for (int i = 0; i < head.Count; i++)
        {
            if (ReadSegment(answer, what, i) is not { } segment)
                return -1;
            all += segment.IsOnDevice ? 1 : head.DescriptorsEach;
        }

        return all;
    }
}
