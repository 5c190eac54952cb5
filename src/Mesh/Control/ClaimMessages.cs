// SPDX-License-Identifier: Apache-2.0

using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Rank 1: what a holder has in these slots, as count and digest a slot; a slot without a summary is empty. Where an
/// owner has something else on record for this holder, it says so.
/// </summary>
internal readonly record struct ClaimRequest(ulong Incarnation, SlotSet Slots, SlotSummary[] Summaries)
    : IWireRequest<ClaimRequest, ClaimAnswer>
{
    public static MessageType Type => MessageType.Claim;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(Incarnation);
        writer.Write(Slots.Bits.AsSpan());
        SlotSummaries.Write(ref writer, Summaries);
    }

    public static ClaimRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var request = new ClaimRequest(reader.ReadUInt64(), new SlotSet(Wire.ReadBytes(ref reader, SlotSet.MaxBytes)),
            SlotSummaries.Read(ref reader));
        Wire.Leave(ref reader, count, 3);
        return request;
    }
}

/// <summary>The claimed slots that the owner has otherwise.</summary>
internal readonly record struct ClaimAnswer(SlotSet Differ) : IWireMessage<ClaimAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(Differ.Bits.AsSpan());
    }

    public static ClaimAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var answer = new ClaimAnswer(new SlotSet(Wire.ReadBytes(ref reader, SlotSet.MaxBytes)));
        Wire.Leave(ref reader, count, 1);
        return answer;
    }
}

/// <summary>
/// Rank 1: everything that a holder has in one slot. Whatever else an owner has on record for it there is no more, but
/// for extents that are still <paramref name="Open"/>. Answered record by record, as a <see cref="MirrorRequest"/> is.
/// </summary>
internal readonly record struct SettleRequest(ulong Incarnation, int Slot, OpenWords Open, KeyedRecord[] Records)
    : IWireRequest<SettleRequest, OwnerAnswers>
{
    /// <summary>Most open extents that are told; a holder with more settles when it has fewer.</summary>
    public const int MostOpen = Wire.MaxBatch;

    public static MessageType Type => MessageType.Settle;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(5);
        writer.Write(Incarnation);
        writer.Write(Slot);
        writer.Write(Open.UpTo);
        writer.WriteArrayHeader(Open.Words.Length);
        foreach (ulong word in Open.Words)
            writer.Write(word);
        KeyedRecord.WriteList(ref writer, Records);
    }

    public static SettleRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 5);
        ulong incarnation = reader.ReadUInt64();
        int slot = reader.ReadInt32();
        ulong upTo = reader.ReadUInt64();
        ulong[] words = new ulong[Wire.ReadCount(ref reader, MostOpen)];
        for (int i = 0; i < words.Length; i++)
            words[i] = reader.ReadUInt64();
        var request = new SettleRequest(incarnation, slot, new OpenWords(upTo, words),
            KeyedRecord.ReadList(ref reader));
        Wire.Leave(ref reader, count, 5);
        return request;
    }

    /// <inheritdoc/>
    public bool Equals(SettleRequest other) => Incarnation == other.Incarnation && Slot == other.Slot
        && Open.UpTo == other.Open.UpTo && Open.Words.AsSpan().SequenceEqual(other.Open.Words)
        && Records.AsSpan().SequenceEqual(other.Records);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Incarnation, Slot, Open.UpTo);
}

/// <summary>
/// The generation words of a holder's extents that can still become an object: they are being filled, or wait for their
/// place on record. Words after <paramref name="UpTo"/> were given out later.
/// </summary>
/// <param name="UpTo">The word given out last.</param>
/// <param name="Words">The words of such extents.</param>
internal readonly record struct OpenWords(ulong UpTo, ulong[] Words)
{
    /// <summary>Whether an extent was an object, or had been one, when this was taken.</summary>
    public bool IsSettled(ulong word) => (long)(word - UpTo) <= 0 && !Words.AsSpan().Contains(word);
}

/// <summary>Lists of counts and digests on the wire.</summary>
internal static class SlotSummaries
{
    public static void Write(ref MessagePackWriter writer, SlotSummary[] summaries)
    {
        writer.WriteArrayHeader(summaries.Length);
        foreach (var summary in summaries)
        {
            writer.WriteArrayHeader(3);
            writer.Write(summary.Slot);
            writer.Write(summary.Count);
            writer.Write(summary.Digest);
        }
    }

    public static SlotSummary[] Read(ref MessagePackReader reader)
    {
        var summaries = new SlotSummary[Wire.ReadCount(ref reader, Wire.MaxBatch)];
        for (int i = 0; i < summaries.Length; i++)
        {
            int fields = Wire.Enter(ref reader, 3);
            summaries[i] = new SlotSummary(reader.ReadInt32(), reader.ReadInt32(), reader.ReadUInt64());
            Wire.Leave(ref reader, fields, 3);
        }

        return summaries;
    }
}
