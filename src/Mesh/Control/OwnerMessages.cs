// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>What an owner says of one key. On the wire: values are fixed, new ones are appended.</summary>
internal enum OwnerCode
{
    /// <summary>A record is there (Locate), was written (Publish, Mirror) or given up (Retract).</summary>
    Yes = 0,

    /// <summary>No such key, said by a complete acting owner.</summary>
    Absent = 1,

    /// <summary>Publish: another object has the key; Retract: refused, the key was located lately.</summary>
    Kept = 2,

    /// <summary>Another node decides; see the view.</summary>
    NotOwner = 3,

    /// <summary>Not known here, but it may exist.</summary>
    Unsure = 4,
}

/// <summary>An owner's answer for one key.</summary>
internal readonly record struct OwnerAnswer(OwnerCode Code, ObjectRecord? Record = null);

/// <summary>An owner's answers, in the order of the keys, and the view they were given in.</summary>
internal readonly record struct OwnerAnswers(ViewId View, OwnerAnswer[] Items) : IWireMessage<OwnerAnswers>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(4);
        Wire.Write(ref writer, View);
        writer.WriteArrayHeader(Items.Length);
        foreach (var item in Items)
        {
            writer.WriteArrayHeader(2);
            writer.Write((int)item.Code);
            if (item.Record is null)
                writer.WriteNil();
            else
                item.Record.Write(ref writer);
        }
    }

    public static OwnerAnswers Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var view = Wire.ReadView(ref reader);
        var items = new OwnerAnswer[Wire.ReadCount(ref reader, Wire.MaxBatch)];
        for (int i = 0; i < items.Length; i++)
        {
            int fields = Wire.Enter(ref reader, 2);
            var code = (OwnerCode)reader.ReadInt32();
            items[i] = new OwnerAnswer(code, reader.TryReadNil() ? null : ObjectRecord.Read(ref reader));
            Wire.Leave(ref reader, fields, 2);
        }

        Wire.Leave(ref reader, count, 4);
        return new OwnerAnswers(view, items);
    }
}

/// <summary>
/// Rank 1: a holder has sealed this object and asks the acting primary to decide and number it.
/// </summary>
/// <param name="Key">The key.</param>
/// <param name="Offer">The object with the one replica that is offered; its version is none.</param>
/// <param name="Wanted">How many replicas the put asked for.</param>
/// <param name="Insist">Whether an owner that is not complete may accept it (it was asked long enough).</param>
/// <param name="Replace">
/// Whether an object that has the key gives way; it then comes as a second item of the answer, with Kept.
/// </param>
/// <param name="Above">
/// A version this one must be numbered above: an owner elsewhere has it on record.
/// </param>
/// <param name="Accepted">
/// The version that an owner accepted this put with before, or none: an object of a greater one came after it and
/// stays.
/// </param>
internal readonly record struct PublishRequest(MeshKey Key, ObjectRecord Offer, int Wanted, bool Insist,
    bool Replace = false, RecordVersion Above = default, RecordVersion Accepted = default)
    : IWireRequest<PublishRequest, OwnerAnswers>, IVersionedMessage
{
    public static MessageType Type => MessageType.Publish;

    public void Write(ref MessagePackWriter writer) => Write(ref writer, Wire.VersionMax);

    public void Write(ref MessagePackWriter writer, int version)
    {
        writer.WriteArrayHeader(version >= 2 ? 11 : 8);
        writer.Write(Key.Bytes.AsSpan());
        Offer.Write(ref writer);
        writer.Write(Wanted);
        writer.Write(Insist);
        writer.Write(Replace);
        Wire.Write(ref writer, Above);
        if (version >= 2)
            Wire.Write(ref writer, Accepted);
    }

    public static PublishRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var request = new PublishRequest(Wire.ReadKey(ref reader), ObjectRecord.Read(ref reader), reader.ReadInt32(),
            reader.ReadBoolean());
        if (count >= 8)
            request = request with { Replace = reader.ReadBoolean(), Above = Wire.ReadVersion(ref reader) };
        if (count >= 11)
            request = request with { Accepted = Wire.ReadVersion(ref reader) };
        Wire.Leave(ref reader, count, count >= 11 ? 11 : count >= 8 ? 8 : 4);
        return request;
    }
}

/// <summary>
/// Rank 1: records the acting primary has numbered (or a holder re-homes); applied by greater version.
/// </summary>
internal readonly record struct MirrorRequest(KeyedRecord[] Records) : IWireRequest<MirrorRequest, OwnerAnswers>
{
    public static MessageType Type => MessageType.Mirror;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        KeyedRecord.WriteList(ref writer, Records);
    }

    public static MirrorRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var request = new MirrorRequest(KeyedRecord.ReadList(ref reader));
        Wire.Leave(ref reader, count, 1);
        return request;
    }
}

/// <summary>
/// One replica a holder wants to give up, or has. With a generation it is that extent alone: the same holder may by now
/// have another copy of the object, of a later attempt of its put. 0: whichever it is.
/// </summary>
internal readonly record struct RetractItem(MeshKey Key, ulong ObjectId, ulong Generation = 0);

/// <summary>
/// Rank 1: a holder proposes to evict its copies (<paramref name="Done"/> false), or tells that they are gone.
/// </summary>
internal readonly record struct RetractRequest(ulong Incarnation, RetractItem[] Items, bool Done)
    : IWireRequest<RetractRequest, OwnerAnswers>
{
    public static MessageType Type => MessageType.Retract;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(Incarnation);
        RetractItems.Write(ref writer, Items);
        writer.Write(Done);
    }

    public static RetractRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var request = new RetractRequest(reader.ReadUInt64(), RetractItems.Read(ref reader), reader.ReadBoolean());
        Wire.Leave(ref reader, count, 3);
        return request;
    }
}

/// <summary>Lists of (key, objectId, generation) on the wire.</summary>
internal static class RetractItems
{
    public static void Write(ref MessagePackWriter writer, RetractItem[] items)
    {
        writer.WriteArrayHeader(items.Length);
        foreach (var item in items)
        {
            writer.WriteArrayHeader(3);
            writer.Write(item.Key.Bytes.AsSpan());
            writer.Write(item.ObjectId);
            writer.Write(item.Generation);
        }
    }

    public static RetractItem[] Read(ref MessagePackReader reader)
    {
        var items = new RetractItem[Wire.ReadCount(ref reader, Wire.MaxBatch)];
        for (int i = 0; i < items.Length; i++)
        {
            int count = Wire.Enter(ref reader, 2);
            var key = Wire.ReadKey(ref reader);
            ulong objectId = reader.ReadUInt64();
            items[i] = new RetractItem(key, objectId, count > 2 ? reader.ReadUInt64() : 0);
            Wire.Leave(ref reader, count, Math.Min(count, 3));
        }

        return items;
    }
}

/// <summary>
/// Rank 1: mirrors for these slots did not reach <paramref name="NodeId"/>; the primary owes them to it.
/// </summary>
internal readonly record struct OweRequest(string NodeId, int Slot) : IWireRequest<OweRequest, Done>
{
    public static MessageType Type => MessageType.Owe;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        Wire.WriteText(ref writer, NodeId);
        writer.Write(Slot);
    }

    public static OweRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var request = new OweRequest(Wire.ReadText(ref reader), reader.ReadInt32());
        Wire.Leave(ref reader, count, 2);
        return request;
    }
}

/// <summary>An answer that says nothing but that it was done, and how many things it was done to.</summary>
internal readonly record struct Done(int Count) : IWireMessage<Done>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(Count);
    }

    public static Done Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var done = new Done(reader.ReadInt32());
        Wire.Leave(ref reader, count, 1);
        return done;
    }
}
