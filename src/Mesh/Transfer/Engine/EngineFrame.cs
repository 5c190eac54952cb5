// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers.Binary;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>What a frame between engines asks for. On the wire: values are fixed, new ones are appended.</summary>
internal enum EngineOperation
{
    /// <summary>Take bytes into registered memory: the entries and all their bytes follow.</summary>
    Write = 1,

    /// <summary>Send bytes of registered memory: the entries follow.</summary>
    Read = 2,

    /// <summary>A message for the engine's user: the name and the text follow.</summary>
    Notify = 3,

    /// <summary>Whether an engine is there.</summary>
    Probe = 4,

    /// <summary>Whether both sides can see each other's board: a <see cref="Local.BoardOffer"/> follows.</summary>
    Local = 5,

    /// <summary>Where the first registered memory for peers begins.</summary>
    FirstAddress = 6,
}

/// <summary>How an entry ended. On the wire: values are fixed, new ones are appended.</summary>
internal enum EntryStatus : byte
{
    /// <summary>Its bytes are in place, or follow.</summary>
    Done = 1,

    /// <summary>The range is not registered at the target.</summary>
    NotRegistered = 2,

    /// <summary>The range is registered at the target, but not for peers.</summary>
    NotRemote = 3,

    /// <summary>The target has no room for one more message.</summary>
    Full = 4,

    /// <summary>The two sides cannot see each other's memory.</summary>
    NotLocal = 5,

    /// <summary>Never on the wire: the connection could not be made, or broke.</summary>
    Unreachable = 6,

    /// <summary>Never on the wire: the peer is another process than the segment was opened at.</summary>
    OtherLife = 7,

    /// <summary>Never on the wire: the kernel found no memory there, although it is registered.</summary>
    NotMapped = 8,

    /// <summary>Never on the wire: the time was over.</summary>
    Late = 9,

    /// <summary>Never on the wire: the engine, or the registration of the source, has ended.</summary>
    Ended = 10,

    /// <summary>The device that the range lies on is lost, or refuses.</summary>
    DeviceFailed = 11,
}

/// <summary>The head of a frame: 32 bytes, little-endian; entries follow, and zeros up to whole lines.</summary>
/// <param name="Operation">What is asked for.</param>
/// <param name="Count">Entries that follow; of a message, bytes of the name.</param>
/// <param name="Id">Number of the request on its connection; the answer repeats it.</param>
/// <param name="Bytes">Bytes of the entries' memory; of a message, bytes of the text.</param>
internal readonly record struct EngineRequest(EngineOperation Operation, int Count, ulong Id, long Bytes)
{
    /// <summary>Length of the head by itself, in bytes.</summary>
    public const int HeadBytes = 32;

    /// <summary>Length on the wire of a head with few entries or none; see <see cref="HeadRoom"/>.</summary>
    public const int LeastBytes = HeadRoom.Line;

    /// <summary>Length of an entry, in bytes: address and length.</summary>
    public const int EntryBytes = 16;

    /// <summary>Most entries of a frame.</summary>
    public const int MostEntries = 256;

    /// <summary>Most bytes that a frame moves.</summary>
    public const long MostBytes = 64L << 20;

    private const uint Magic = 0x3145_544d;

    /// <summary>Length on the wire of a head with so many entries, in bytes.</summary>
    public static int LengthOf(int entries) => HeadRoom.Of(HeadBytes + (entries * EntryBytes));

    /// <summary>Writes the head, and zeros where entries may follow.</summary>
    /// <param name="head">As long as <see cref="LengthOf"/> says.</param>
    public void Write(Span<byte> head)
    {
        head[HeadBytes..].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(head, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(head[4..], (int)Operation);
        BinaryPrimitives.WriteUInt64LittleEndian(head[8..], Id);
        BinaryPrimitives.WriteInt64LittleEndian(head[16..], Bytes);
        BinaryPrimitives.WriteInt32LittleEndian(head[24..], Count);
        BinaryPrimitives.WriteInt32LittleEndian(head[28..], 0);
    }

    /// <summary>Reads a head; false: it is none of ours, or beyond the bounds.</summary>
    public static bool TryRead(ReadOnlySpan<byte> head, out EngineRequest request)
    {
        request = new EngineRequest((EngineOperation)BinaryPrimitives.ReadInt32LittleEndian(head[4..]),
            BinaryPrimitives.ReadInt32LittleEndian(head[24..]), BinaryPrimitives.ReadUInt64LittleEndian(head[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(head[16..]));
        if (BinaryPrimitives.ReadUInt32LittleEndian(head) != Magic || request.Bytes < 0)
            return false;
        return request.Operation switch
        {
            EngineOperation.Write or EngineOperation.Read =>
                request.Count is >= 1 and <= MostEntries && request.Bytes <= MostBytes,
            EngineOperation.Notify => request.Count is >= 0 and <= NotifyQueue.MostNameBytes
                && request.Bytes <= NotifyQueue.MostTextBytes,
            EngineOperation.Local => request is { Count: 0, Bytes: Local.BoardOffer.Bytes },
            EngineOperation.Probe or EngineOperation.FirstAddress => request is { Count: 0, Bytes: 0 },
            _ => false,
        };
    }

    /// <summary>Writes an entry behind the head.</summary>
    public static void WriteEntry(Span<byte> head, int index, ulong address, ulong length)
    {
        var place = head.Slice(HeadBytes + (index * EntryBytes), EntryBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(place, address);
        BinaryPrimitives.WriteUInt64LittleEndian(place[8..], length);
    }

    /// <summary>Reads an entry behind the head.</summary>
    public static (ulong Address, ulong Length) ReadEntry(ReadOnlySpan<byte> head, int index)
    {
        var place = head.Slice(HeadBytes + (index * EntryBytes), EntryBytes);
        return (BinaryPrimitives.ReadUInt64LittleEndian(place), BinaryPrimitives.ReadUInt64LittleEndian(place[8..]));
    }
}

/// <summary>
/// The answer: 24 bytes, little-endian; then a status for each entry, and zeros up to whole lines; then what was asked
/// for.
/// </summary>
/// <param name="Status">Of a frame without entries: how it ended.</param>
/// <param name="Count">Statuses that follow.</param>
/// <param name="Id">Number of the request.</param>
/// <param name="Bytes">Bytes that follow the statuses; of an address: the address.</param>
internal readonly record struct EngineAnswer(EntryStatus Status, int Count, ulong Id, long Bytes)
{
    /// <summary>Length of the head by itself, in bytes.</summary>
    public const int HeadBytes = 24;

    /// <summary>Length on the wire of a head with few statuses or none; see <see cref="HeadRoom"/>.</summary>
    public const int LeastBytes = HeadRoom.Line;

    /// <summary>Length on the wire of a head with so many statuses, in bytes.</summary>
    public static int LengthOf(int statuses) => HeadRoom.Of(HeadBytes + statuses);

    /// <summary>Writes the head, and zeros where statuses may follow.</summary>
    /// <param name="head">As long as <see cref="LengthOf"/> says.</param>
    public void Write(Span<byte> head)
    {
        head[HeadBytes..].Clear();
        BinaryPrimitives.WriteInt32LittleEndian(head, (int)Status);
        BinaryPrimitives.WriteInt32LittleEndian(head[4..], Count);
        BinaryPrimitives.WriteUInt64LittleEndian(head[8..], Id);
        BinaryPrimitives.WriteInt64LittleEndian(head[16..], Bytes);
    }

    /// <summary>Reads the head.</summary>
    public static EngineAnswer Read(ReadOnlySpan<byte> head) => new(
        (EntryStatus)BinaryPrimitives.ReadInt32LittleEndian(head), BinaryPrimitives.ReadInt32LittleEndian(head[4..]),
        BinaryPrimitives.ReadUInt64LittleEndian(head[8..]), BinaryPrimitives.ReadInt64LittleEndian(head[16..]));
}
