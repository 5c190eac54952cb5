// SPDX-License-Identifier: Apache-2.0

using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>What every put carries besides its bytes.</summary>
/// <param name="Key">The key.</param>
/// <param name="ObjectId">Random bits of this put attempt, the same for all its replicas.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Wanted">How many replicas the put asks for.</param>
/// <param name="MayEvict">Whether the holder may evict to make room.</param>
/// <param name="TimeoutMilliseconds">How long the caller waits.</param>
/// <param name="Replace">Whether an object that has the key gives way.</param>
/// <param name="Pin">How hard the holder keeps it.</param>
/// <param name="Group">What it is evicted with; empty: nothing.</param>
/// <param name="Seen">The greatest version that the caller has seen of the key: its own is to be above it.</param>
internal readonly record struct PutHead(MeshKey Key, ulong ObjectId, long Size, int Wanted, bool MayEvict,
    int TimeoutMilliseconds, bool Replace = false, ObjectPin Pin = ObjectPin.None, string Group = "",
    RecordVersion Seen = default)
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(12);
        writer.Write(Key.Bytes.AsSpan());
        writer.Write(ObjectId);
        writer.Write(Size);
        writer.Write(Wanted);
        writer.Write(MayEvict);
        writer.Write(TimeoutMilliseconds);
        writer.Write(Replace);
        writer.Write((int)Pin);
        Wire.WriteText(ref writer, Group);
        Wire.Write(ref writer, Seen);
    }

    public static PutHead Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 6);
        var head = new PutHead(Wire.ReadKey(ref reader), reader.ReadUInt64(), reader.ReadInt64(), reader.ReadInt32(),
            reader.ReadBoolean(), reader.ReadInt32());
        if (count >= 9)
        {
            head = head with
            {
                Replace = reader.ReadBoolean(),
                Pin = (ObjectPin)reader.ReadInt32(),
                Group = Wire.ReadText(ref reader),
            };
        }

        if (count >= 12)
            head = head with { Seen = Wire.ReadVersion(ref reader) };
        Wire.Leave(ref reader, count, count >= 12 ? 12 : count >= 9 ? 9 : 6);
        return head.Size >= 0 ? head : throw new WireException($"size {head.Size}");
    }
}

/// <summary>
/// Rank 2, to a holder: store this small value. One that was read lies in the frame it came in, and is copied before
/// that is read over.
/// </summary>
internal readonly record struct PutRequest(PutHead Head, ulong Checksum, ReadOnlyMemory<byte> Value)
    : IWireRequest<PutRequest, PutAnswer>
{
    public static MessageType Type => MessageType.Put;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        Head.Write(ref writer);
        writer.Write(Checksum);
        writer.Write(Value.Span);
    }

    public static PutRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var request = new PutRequest(PutHead.Read(ref reader), reader.ReadUInt64(),
            Wire.ReadMemory(ref reader, Wire.MaxInlinePut));
        Wire.Leave(ref reader, count, 3);
        return request.Value.Length == request.Head.Size
            ? request
            : throw new WireException($"{request.Value.Length} bytes for an object of {request.Head.Size}");
    }
}

/// <summary>Rank 2, to a holder: make room for a value that follows.</summary>
/// <param name="Head">What is put.</param>
/// <param name="Client">
/// What the sender is called at the holder's shared memory, when it fills the extent itself; 0: the holder does.
/// </param>
/// <param name="ReservationId">With a client: the reservation's id, which the sender chooses, so that it can give up
/// what it never heard of.</param>
internal readonly record struct ReserveRequest(PutHead Head, ulong Client = 0, ulong ReservationId = 0)
    : IWireRequest<ReserveRequest, ReserveAnswer>
{
    public static MessageType Type => MessageType.Reserve;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        Head.Write(ref writer);
        writer.Write(Client);
        writer.Write(ReservationId);
    }

    public static ReserveRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var head = PutHead.Read(ref reader);
        var request = count < 3
            ? new ReserveRequest(head)
            : new ReserveRequest(head, reader.ReadUInt64(), reader.ReadUInt64());
        Wire.Leave(ref reader, count, count < 3 ? 1 : 3);
        return request;
    }
}

/// <summary>
/// The reservation's id; it ends by seal, abandon, deadline, or with the connection it was made on. For a client that
/// fills it itself also where it lies, and only seal, abandon and the process's death end it.
/// </summary>
internal readonly record struct ReserveAnswer(ulong ReservationId, int SegmentId = 0, long Offset = 0)
    : IWireMessage<ReserveAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(ReservationId);
        writer.Write(SegmentId);
        writer.Write(Offset);
    }

    public static ReserveAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        ulong id = reader.ReadUInt64();
        var answer = count < 3
            ? new ReserveAnswer(id)
            : new ReserveAnswer(id, reader.ReadInt32(), reader.ReadInt64());
        Wire.Leave(ref reader, count, count < 3 ? 1 : 3);
        return answer;
    }
}

/// <summary>Rank 2, to a holder: all bytes of the reservation are there; publish them.</summary>
/// <param name="ReservationId">The reservation.</param>
/// <param name="Checksum">The object's checksum.</param>
/// <param name="Sums">The sums of its slices, when the sender has filled it itself and there are several.</param>
internal readonly record struct SealRequest(ulong ReservationId, ulong Checksum, ulong[]? Sums = null)
    : IWireRequest<SealRequest, PutAnswer>
{
    public static MessageType Type => MessageType.Seal;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(ReservationId);
        writer.Write(Checksum);
        SliceSumsOnWire.Write(ref writer, Sums ?? []);
    }

    public static SealRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var request = new SealRequest(reader.ReadUInt64(), reader.ReadUInt64(),
            count > 2 ? SliceSumsOnWire.Read(ref reader) : null);
        Wire.Leave(ref reader, count, Math.Min(count, 3));
        return request;
    }
}

/// <summary>What became of a put at one holder. On the wire: values are fixed, new ones are appended.</summary>
internal enum PutFate
{
    /// <summary>The value is on record: a new object, or a further copy of this put.</summary>
    Stored = 0,

    /// <summary>Another object has the key, or has copies enough; this one was freed.</summary>
    Existed = 1,

    /// <summary>The copy joined an older object of the same bytes, which had fewer copies than wanted.</summary>
    Joined = 2,

    /// <summary>As before, but this holder has a copy already; others may be wanted.</summary>
    Held = 3,

    /// <summary>This very put is on record by an earlier attempt, or was and has been replaced or removed.</summary>
    Own = 4,
}

/// <summary>How a put at one holder ended.</summary>
/// <param name="Existed">The key had an object already.</param>
/// <param name="Mirrored">Whether a second owner has the record.</param>
/// <param name="Version">The record's version.</param>
/// <param name="Fate">What became of the value.</param>
/// <param name="Copies">Copies on record, as far as this holder was told.</param>
internal readonly record struct PutAnswer(bool Existed, bool Mirrored, RecordVersion Version, PutFate Fate, int Copies)
    : IWireMessage<PutAnswer>
{
    public PutAnswer(PutFate fate, bool mirrored, RecordVersion version, int copies)
        : this(fate is PutFate.Existed or PutFate.Joined or PutFate.Held, mirrored, version, fate, copies)
    {
    }

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(7);
        writer.Write(Existed);
        writer.Write(Mirrored);
        Wire.Write(ref writer, Version);
        writer.Write((int)Fate);
        writer.Write(Copies);
    }

    public static PutAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 5);
        bool existed = reader.ReadBoolean();
        var answer = new PutAnswer(existed, reader.ReadBoolean(), Wire.ReadVersion(ref reader),
            existed ? PutFate.Existed : PutFate.Stored, 1);
        if (count >= 7)
            answer = answer with { Fate = (PutFate)reader.ReadInt32(), Copies = reader.ReadInt32() };
        Wire.Leave(ref reader, count, count >= 7 ? 7 : 5);
        return answer;
    }
}

/// <summary>Rank 2, to the acting primary: remove this key.</summary>
/// <param name="Key">The key.</param>
/// <param name="TimeoutMilliseconds">How long it may take.</param>
/// <param name="Seen">The greatest version that the caller has seen of it: the removal is to be above it.</param>
internal readonly record struct RemoveRequest(MeshKey Key, int TimeoutMilliseconds, RecordVersion Seen = default)
    : IWireRequest<RemoveRequest, OwnerAnswers>
{
    public static MessageType Type => MessageType.Remove;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(5);
        writer.Write(Key.Bytes.AsSpan());
        writer.Write(TimeoutMilliseconds);
        Wire.Write(ref writer, Seen);
    }

    public static RemoveRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var request = new RemoveRequest(Wire.ReadKey(ref reader), reader.ReadInt32());
        if (count >= 5)
            request = request with { Seen = Wire.ReadVersion(ref reader) };
        Wire.Leave(ref reader, count, count >= 5 ? 5 : 2);
        return request;
    }
}
