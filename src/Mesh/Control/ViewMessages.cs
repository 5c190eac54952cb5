// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>Sums of slices on the wire: their bytes, little-endian, as one byte string.</summary>
internal static class SliceSumsOnWire
{
    /// <summary>Most sums of one object.</summary>
    public const int Most = 16 * 1024;

    public static void Write(ref MessagePackWriter writer, ulong[] sums) =>
        writer.Write(MemoryMarshal.AsBytes(sums.AsSpan()));

    public static ulong[] Read(ref MessagePackReader reader)
    {
        var bytes = Wire.ReadView(ref reader, Most * sizeof(ulong));
        if (bytes.Length % sizeof(ulong) != 0)
            throw new WireException($"{bytes.Length} bytes are no sums of {sizeof(ulong)} bytes each");
        return MemoryMarshal.Cast<byte, ulong>(bytes).ToArray();
    }
}

/// <summary>
/// What a client asks beside a view: the views it has closed since, which end with this call and need none of their
/// own.
/// </summary>
internal static class ClosedViews
{
    /// <summary>Most of a call.</summary>
    public const int Most = 1024;

    public static void Write(ref MessagePackWriter writer, ulong[] views)
    {
        writer.WriteArrayHeader(views.Length);
        foreach (ulong view in views)
            writer.Write(view);
    }

    public static ulong[] Read(ref MessagePackReader reader)
    {
        var views = new ulong[Wire.ReadCount(ref reader, Most)];
        for (int i = 0; i < views.Length; i++)
            views[i] = reader.ReadUInt64();
        return views;
    }
}

/// <summary>
/// Rank 0: keep this extent in place for a view of the calling process, while its word equals
/// <paramref name="Generation"/>; a view of 0 only closes others.
/// </summary>
/// <param name="Client">What the process is called at the holder's shared memory.</param>
/// <param name="View">Number of the view; the process chooses it.</param>
/// <param name="SegmentId">The segment.</param>
/// <param name="Offset">Where the extent starts, in bytes.</param>
/// <param name="Generation">The word.</param>
/// <param name="Closed">Views of the process that end.</param>
internal readonly record struct ViewExtentRequest(ulong Client, ulong View, int SegmentId, long Offset,
    ulong Generation, ulong[] Closed) : IWireRequest<ViewExtentRequest, ViewAnswer>
{
    public static MessageType Type => MessageType.ViewExtent;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(6);
        writer.Write(Client);
        writer.Write(View);
        writer.Write(SegmentId);
        writer.Write(Offset);
        writer.Write(Generation);
        ClosedViews.Write(ref writer, Closed);
    }

    public static ViewExtentRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 6);
        var request = new ViewExtentRequest(reader.ReadUInt64(), reader.ReadUInt64(), reader.ReadInt32(),
            reader.ReadInt64(), reader.ReadUInt64(), ClosedViews.Read(ref reader));
        Wire.Leave(ref reader, count, 6);
        return request;
    }
}

/// <summary>Whether the view is open, or that the extent no longer holds the object.</summary>
internal readonly record struct ViewAnswer(bool Open) : IWireMessage<ViewAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(Open);
    }

    public static ViewAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var answer = new ViewAnswer(reader.ReadBoolean());
        Wire.Leave(ref reader, count, 1);
        return answer;
    }
}

/// <summary>
/// Rank 1: who has this key? If you have it yourself, keep it in place for a view of the calling process, which is on
/// your host.
/// </summary>
/// <param name="Client">What the process is called at the holder's shared memory.</param>
/// <param name="View">Number of the view; the process chooses it.</param>
/// <param name="Key">The key.</param>
/// <param name="Closed">Views of the process that end.</param>
internal readonly record struct ViewKeyRequest(ulong Client, ulong View, MeshKey Key, ulong[] Closed)
    : IWireRequest<ViewKeyRequest, ViewKeyAnswer>
{
    public static MessageType Type => MessageType.ViewKey;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(4);
        writer.Write(Client);
        writer.Write(View);
        writer.Write(Key.Bytes.AsSpan());
        ClosedViews.Write(ref writer, Closed);
    }

    public static ViewKeyRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var request = new ViewKeyRequest(reader.ReadUInt64(), reader.ReadUInt64(), Wire.ReadKey(ref reader),
            ClosedViews.Read(ref reader));
        Wire.Leave(ref reader, count, 4);
        return request;
    }
}

/// <summary>What the owner says of the key, and which replica of the record is in view now; -1: none.</summary>
internal readonly record struct ViewKeyAnswer(LocateAnswer Located, int Replica) : IWireMessage<ViewKeyAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        Located.Write(ref writer);
        writer.Write(Replica);
    }

    public static ViewKeyAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var answer = new ViewKeyAnswer(LocateAnswer.Read(ref reader), reader.ReadInt32());
        Wire.Leave(ref reader, count, 2);
        return answer;
    }
}

/// <summary>
/// Rank 0: the sums of the slices of an object, and its extents if there are several, while the first one's word equals
/// <paramref name="Generation"/>.
/// </summary>
internal readonly record struct SumsRequest(int SegmentId, long Offset, ulong Generation)
    : IWireRequest<SumsRequest, SumsAnswer>
{
    public static MessageType Type => MessageType.Sums;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(SegmentId);
        writer.Write(Offset);
        writer.Write(Generation);
    }

    public static SumsRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var request = new SumsRequest(reader.ReadInt32(), reader.ReadInt64(), reader.ReadUInt64());
        Wire.Leave(ref reader, count, 3);
        return request;
    }
}

/// <summary>The sums, or that the extent no longer holds the object.</summary>
/// <param name="Current">Whether it does.</param>
/// <param name="Sums">The sums.</param>
/// <param name="Extents">Where its bytes are, in order; empty: in the one extent.</param>
internal readonly record struct SumsAnswer(bool Current, ulong[] Sums, ExtentOnWire[] Extents)
    : IWireMessage<SumsAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(Current);
        SliceSumsOnWire.Write(ref writer, Sums);
        writer.WriteArrayHeader(Extents.Length);
        foreach (var extent in Extents)
        {
            writer.WriteArrayHeader(4);
            writer.Write(extent.SegmentId);
            writer.Write(extent.Offset);
            writer.Write(extent.Length);
            writer.Write(extent.Generation);
        }
    }

    public static SumsAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var answer = new SumsAnswer(reader.ReadBoolean(), SliceSumsOnWire.Read(ref reader),
            count > 2 ? ReadExtents(ref reader) : []);
        Wire.Leave(ref reader, count, Math.Min(count, 3));
        return answer;
    }

    private static ExtentOnWire[] ReadExtents(ref MessagePackReader reader)
    {
        var extents = new ExtentOnWire[Wire.ReadCount(ref reader, ExtentOnWire.Most)];
        for (int i = 0; i < extents.Length; i++)
        {
            int fields = Wire.Enter(ref reader, 4);
            extents[i] = new ExtentOnWire(reader.ReadInt32(), reader.ReadInt64(), reader.ReadInt64(),
                reader.ReadUInt64());
            Wire.Leave(ref reader, fields, 4);
        }

        return extents;
    }
}

/// <summary>One extent of an object in several.</summary>
/// <param name="SegmentId">Its segment.</param>
/// <param name="Offset">Where it starts, in bytes.</param>
/// <param name="Length">Bytes of the object in it.</param>
/// <param name="Generation">Its word.</param>
internal readonly record struct ExtentOnWire(int SegmentId, long Offset, long Length, ulong Generation)
{
    /// <summary>Most extents of an object.</summary>
    public const int Most = 64;
}
