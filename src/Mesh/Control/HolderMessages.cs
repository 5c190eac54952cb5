// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>Rank 0: these objects are removed or replaced; change their generation, then answer.</summary>
internal readonly record struct DropRequest(RetractItem[] Items) : IWireRequest<DropRequest, Done>
{
    public static MessageType Type => MessageType.Drop;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        RetractItems.Write(ref writer, Items);
    }

    public static DropRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var request = new DropRequest(RetractItems.Read(ref reader));
        Wire.Leave(ref reader, count, 1);
        return request;
    }
}

/// <summary>
/// Rank 0: bytes of an extent, read under a pin while its word equals <paramref name="Generation"/>; at most
/// <see cref="Wire.MaxInline"/> bytes.
/// </summary>
internal readonly record struct ReadRequest(int SegmentId, long Offset, ulong Generation, long Skip, int Length)
    : IWireRequest<ReadRequest, ReadAnswer>
{
    public static MessageType Type => MessageType.Read;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(5);
        writer.Write(SegmentId);
        writer.Write(Offset);
        writer.Write(Generation);
        writer.Write(Skip);
        writer.Write(Length);
    }

    public static ReadRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 5);
        var request = new ReadRequest(reader.ReadInt32(), reader.ReadInt64(), reader.ReadUInt64(), reader.ReadInt64(),
            reader.ReadInt32());
        Wire.Leave(ref reader, count, 5);
        return request;
    }
}

/// <summary>The bytes, or that the extent no longer holds the object.</summary>
internal readonly record struct ReadAnswer(bool Current, ReadOnlyMemory<byte> Bytes) : IWireMessage<ReadAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        writer.Write(Current);
        writer.Write(Bytes.Span);
    }

    public static ReadAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var answer = new ReadAnswer(reader.ReadBoolean(), Wire.ReadBytes(ref reader, Wire.MaxInline));
        Wire.Leave(ref reader, count, 2);
        return answer;
    }
}

/// <summary>
/// Rank 0: what do you hold, of the slots asked for (none: of all), from key hash <paramref name="FromHash"/> on?
/// </summary>
internal readonly record struct HolderListRequest(SlotSet Slots, int SlotCount, ulong FromHash, byte[] Prefix)
    : IWireRequest<HolderListRequest, HolderPage>
{
    public static MessageType Type => MessageType.HolderList;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(4);
        writer.Write(Slots.Bits.AsSpan());
        writer.Write(SlotCount);
        writer.Write(FromHash);
        writer.Write(Prefix.AsSpan());
    }

    public static HolderListRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var request = new HolderListRequest(new SlotSet(Wire.ReadBytes(ref reader, SlotSet.MaxBytes)),
            reader.ReadInt32(), reader.ReadUInt64(), Wire.ReadBytes(ref reader, MeshKey.MaxLength));
        Wire.Leave(ref reader, count, 4);
        return request;
    }
}

/// <summary>One page; <paramref name="NextHash"/> 0: the end.</summary>
internal readonly record struct HolderPage(KeyedRecord[] Records, ulong NextHash, ViewId View = default)
    : IWireMessage<HolderPage>, IVersionedMessage
{
    /// <summary>
    /// Whether what the holder stores after this is decided in <paramref name="view"/> or in one that follows on it; a
    /// peer of an earlier version does not say.
    /// </summary>
    public bool IsOf(ViewId view) => View.Epoch == 0 || View.IsOrFollows(view);

    public void Write(ref MessagePackWriter writer) => Write(ref writer, Wire.VersionMax);

    public void Write(ref MessagePackWriter writer, int version)
    {
        writer.WriteArrayHeader(version >= 2 ? 6 : 5);
        KeyedRecord.WriteList(ref writer, Records);
        writer.Write(NextHash);
        Wire.Write(ref writer, View);
        if (version >= 2)
            writer.Write(View.Mesh);
    }

    public static HolderPage Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var page = new HolderPage(KeyedRecord.ReadList(ref reader), reader.ReadUInt64());
        if (count >= 5)
            page = page with { View = Wire.ReadView(ref reader) };
        if (count >= 6)
            page = page with { View = page.View with { Mesh = reader.ReadUInt64() } };
        Wire.Leave(ref reader, count, count >= 6 ? 6 : count >= 5 ? 5 : 2);
        return page;
    }
}

/// <summary>Rank 0: give up a reservation.</summary>
internal readonly record struct AbandonRequest(ulong ReservationId) : IWireRequest<AbandonRequest, Done>
{
    public static MessageType Type => MessageType.Abandon;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(ReservationId);
    }

    public static AbandonRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var request = new AbandonRequest(reader.ReadUInt64());
        Wire.Leave(ref reader, count, 1);
        return request;
    }
}
