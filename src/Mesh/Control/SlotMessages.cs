// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>A set of slots as one bit each.</summary>
internal readonly struct SlotSet
{
    /// <summary>Largest set on the wire, in bytes: 2^20 slots.</summary>
    public const int MaxBytes = 1 << 17;

    public SlotSet(int slots) => Bits = new byte[slots / 8];

    public SlotSet(byte[] bits) => Bits = bits;

    public byte[] Bits { get; }

    public int Capacity => Bits.Length * 8;

    public bool Contains(int slot) => (uint)slot < (uint)Capacity && (Bits[slot >> 3] & (1 << (slot & 7))) != 0;

    public void Add(int slot) => Bits[slot >> 3] |= (byte)(1 << (slot & 7));

    public void Remove(int slot) => Bits[slot >> 3] &= (byte)~(1 << (slot & 7));

    public int Count
    {
        get
        {
            int count = 0;
            foreach (byte bits in Bits)
                count += int.PopCount(bits);
            return count;
        }
    }
}

/// <summary>What one slot held when it was streamed.</summary>
internal readonly record struct SlotSummary(int Slot, int Count, ulong Digest);

/// <summary>
/// Rank 1: stream me what you have of these slots, from <paramref name="From"/> on, of that one from
/// <paramref name="Position"/> on.
/// </summary>
internal readonly record struct SlotPullRequest(ViewId View, int From, SlotSet Slots, ulong Position = 0)
    : IWireRequest<SlotPullRequest, SlotPage>, IVersionedMessage
{
    public static MessageType Type => MessageType.SlotPull;

    public void Write(ref MessagePackWriter writer) => Write(ref writer, Wire.VersionMax);

    public void Write(ref MessagePackWriter writer, int version)
    {
        writer.WriteArrayHeader(version >= 2 ? 7 : 6);
        Wire.Write(ref writer, View);
        writer.Write(From);
        writer.Write(Slots.Bits.AsSpan());
        writer.Write(Position);
        if (version >= 2)
            writer.Write(View.Mesh);
    }

    public static SlotPullRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 5);
        var request = new SlotPullRequest(Wire.ReadView(ref reader), reader.ReadInt32(),
            new SlotSet(Wire.ReadBytes(ref reader, SlotSet.MaxBytes)), count >= 6 ? reader.ReadUInt64() : 0);
        if (count >= 7)
            request = request with { View = request.View with { Mesh = reader.ReadUInt64() } };
        Wire.Leave(ref reader, count, Math.Min(count, 7));
        return request;
    }
}

/// <summary>
/// One page of a stream: everything of the asked slots from the request's From and Position up to, and without,
/// <paramref name="Position"/> in <paramref name="Through"/>. A slot without a summary has nothing in it.
/// </summary>
/// <param name="Ready">False: the source is not yet in the asker's view; ask again.</param>
/// <param name="Through">Where to go on; the slot count when the stream is at its end.</param>
/// <param name="Complete">Of the asked slots within the page, those the source is complete for.</param>
/// <param name="Summaries">Count and digest of what the page has of each slot, where that is something.</param>
/// <param name="Records">Records and tombstones.</param>
/// <param name="Position">Where within slot Through to go on: 0 unless part of it is in the page.</param>
/// <param name="Stamp">Equal in two pages: no slot of the source became incomplete in between.</param>
internal readonly record struct SlotPage(bool Ready, int Through, SlotSet Complete, SlotSummary[] Summaries,
    KeyedRecord[] Records, ulong Position = 0, long Stamp = 0) : IWireMessage<SlotPage>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(7);
        writer.Write(Ready);
        writer.Write(Through);
        writer.Write(Complete.Bits.AsSpan());
        SlotSummaries.Write(ref writer, Summaries);
        KeyedRecord.WriteList(ref writer, Records);
        writer.Write(Position);
        writer.Write(Stamp);
    }

    public static SlotPage Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 5);
        bool ready = reader.ReadBoolean();
        int through = reader.ReadInt32();
        var complete = new SlotSet(Wire.ReadBytes(ref reader, SlotSet.MaxBytes));
        var summaries = SlotSummaries.Read(ref reader);
        var page = new SlotPage(ready, through, complete, summaries, KeyedRecord.ReadList(ref reader),
            count >= 6 ? reader.ReadUInt64() : 0, count >= 7 ? reader.ReadInt64() : 0);
        Wire.Leave(ref reader, count, Math.Min(count, 7));
        return page;
    }
}

/// <summary>Rank 1: for which of these slots are you a complete owner?</summary>
internal readonly record struct SlotStateRequest(ViewId View, SlotSet Slots)
    : IWireRequest<SlotStateRequest, SlotStateAnswer>
{
    public static MessageType Type => MessageType.SlotState;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(4);
        Wire.Write(ref writer, View);
        writer.Write(Slots.Bits.AsSpan());
    }

    public static SlotStateRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var request = new SlotStateRequest(Wire.ReadView(ref reader),
            new SlotSet(Wire.ReadBytes(ref reader, SlotSet.MaxBytes)));
        Wire.Leave(ref reader, count, 4);
        return request;
    }
}

/// <summary>
/// The slots the answering node is a complete owner of, in its view, and how long ago records came to it that made a
/// slot complete.
/// </summary>
internal readonly record struct SlotStateAnswer(ViewId View, SlotSet Complete, long LearntMilliseconds = 0)
    : IWireMessage<SlotStateAnswer>, IVersionedMessage
{
    /// <summary>Nothing has been learnt ever.</summary>
    public const long Never = 1L << 50;

    public void Write(ref MessagePackWriter writer) => Write(ref writer, Wire.VersionMax);

    public void Write(ref MessagePackWriter writer, int version)
    {
        writer.WriteArrayHeader(version >= 2 ? 5 : 4);
        Wire.Write(ref writer, View);
        writer.Write(Complete.Bits.AsSpan());
        if (version >= 2)
            writer.Write(LearntMilliseconds);
    }

    public static SlotStateAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var answer = new SlotStateAnswer(Wire.ReadView(ref reader),
            new SlotSet(Wire.ReadBytes(ref reader, SlotSet.MaxBytes)), count >= 5 ? reader.ReadInt64() : 0);
        Wire.Leave(ref reader, count, count >= 5 ? 5 : 4);
        return answer;
    }
}
