// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers.Binary;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>What a request of the data lane asks for. On the wire: values are fixed, new ones are appended.</summary>
internal enum DataOperation
{
    /// <summary>Send the bytes of an extent; they follow the answer.</summary>
    Read = 1,

    /// <summary>Take the bytes of a reservation; they follow the request.</summary>
    Write = 2,
}

/// <summary>How a request of the data lane ended. On the wire: values are fixed, new ones are appended.</summary>
internal enum DataStatus
{
    /// <summary>Read: the bytes follow, from under a pin. Write: they are in the extent.</summary>
    Done = 1,

    /// <summary>The extent or reservation is not, or is no longer, what was asked for; no bytes follow.</summary>
    Stale = 2,

    /// <summary>A device that has the bytes, or was to get them, failed; no bytes follow.</summary>
    Failed = 3,
}

/// <summary>
/// A request on the data lane: little-endian, one at a time on a connection. <paramref name="Token"/> is the generation
/// of a read, the reservation of a write.
/// </summary>
/// <param name="Operation">What to do.</param>
/// <param name="SegmentId">Segment of a read.</param>
/// <param name="Id">Number of the request on its connection; the answer repeats it.</param>
/// <param name="Offset">Offset of a read, in bytes.</param>
/// <param name="Token">Generation or reservation.</param>
/// <param name="Length">Bytes to move.</param>
/// <param name="Skip">Where in the extent a read starts, in bytes.</param>
internal readonly record struct DataRequest(DataOperation Operation, int SegmentId, ulong Id, long Offset, ulong Token,
    long Length, long Skip = 0)
{
    /// <summary>Length on the wire; see <see cref="HeadRoom"/>.</summary>
    public const int Bytes = HeadRoom.Line;

    private const int UsedBytes = 48;

    public void Write(Span<byte> header)
    {
        BinaryPrimitives.WriteInt32LittleEndian(header, (int)Operation);
        BinaryPrimitives.WriteInt32LittleEndian(header[4..], SegmentId);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], Id);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], Offset);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Token);
        BinaryPrimitives.WriteInt64LittleEndian(header[32..], Length);
        BinaryPrimitives.WriteInt64LittleEndian(header[40..], Skip);
        header[UsedBytes..Bytes].Clear();
    }

    public static DataRequest Read(ReadOnlySpan<byte> header) => new(
        (DataOperation)BinaryPrimitives.ReadInt32LittleEndian(header),
        BinaryPrimitives.ReadInt32LittleEndian(header[4..]),
        BinaryPrimitives.ReadUInt64LittleEndian(header[8..]),
        BinaryPrimitives.ReadInt64LittleEndian(header[16..]),
        BinaryPrimitives.ReadUInt64LittleEndian(header[24..]),
        BinaryPrimitives.ReadInt64LittleEndian(header[32..]),
        BinaryPrimitives.ReadInt64LittleEndian(header[40..]));
}

/// <summary>The answer on the data lane: little-endian.</summary>
/// <param name="Status">How it ended.</param>
/// <param name="Id">Number of the request.</param>
/// <param name="Length">Bytes that follow (a read) or were taken (a write).</param>
internal readonly record struct DataAnswer(DataStatus Status, ulong Id, long Length)
{
    /// <summary>Length on the wire; see <see cref="HeadRoom"/>.</summary>
    public const int Bytes = HeadRoom.Line;

    private const int UsedBytes = 24;

    public void Write(Span<byte> header)
    {
        BinaryPrimitives.WriteInt32LittleEndian(header, (int)Status);
        BinaryPrimitives.WriteInt32LittleEndian(header[4..], 0);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], Id);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], Length);
        header[UsedBytes..Bytes].Clear();
    }

    public static DataAnswer Read(ReadOnlySpan<byte> header) => new(
        (DataStatus)BinaryPrimitives.ReadInt32LittleEndian(header),
        BinaryPrimitives.ReadUInt64LittleEndian(header[8..]),
        BinaryPrimitives.ReadInt64LittleEndian(header[16..]));
}
