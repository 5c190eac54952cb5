// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Transfer.Engine.Local;

/// <summary>
/// Where a process says that its board is. The nonce proves it: only who looks at that process itself finds the same.
/// On the wire: 56 bytes, little-endian.
/// </summary>
/// <param name="Pid">Its process, as it sees it itself.</param>
/// <param name="Descriptor">Number of the board's file there.</param>
/// <param name="Address">Where the board is mapped there.</param>
/// <param name="FirstCell">Where on the board its copies are announced; -1: it does not copy.</param>
/// <param name="Nonce">The nonce on the board.</param>
internal readonly record struct BoardOffer(int Pid, int Descriptor, ulong Address, int FirstCell, byte[] Nonce)
{
    /// <summary>Length, in bytes.</summary>
    public const int Bytes = 24 + EngineBoard.NonceBytes;

    /// <summary>This process's.</summary>
    public static unsafe BoardOffer Of(EngineBoard board, int firstCell) => new(Environment.ProcessId,
        board.Descriptor, (ulong)board.Pointer, firstCell, board.Nonce.ToArray());

    /// <summary>Writes it.</summary>
    public void Write(Span<byte> place)
    {
        BinaryPrimitives.WriteInt32LittleEndian(place, Pid);
        BinaryPrimitives.WriteInt32LittleEndian(place[4..], Descriptor);
        BinaryPrimitives.WriteUInt64LittleEndian(place[8..], Address);
        BinaryPrimitives.WriteInt32LittleEndian(place[16..], FirstCell);
        BinaryPrimitives.WriteInt32LittleEndian(place[20..], 0);
        Nonce.CopyTo(place[24..]);
    }

    /// <summary>Reads one.</summary>
    public static BoardOffer Read(ReadOnlySpan<byte> place) => new(BinaryPrimitives.ReadInt32LittleEndian(place),
        BinaryPrimitives.ReadInt32LittleEndian(place[4..]), BinaryPrimitives.ReadUInt64LittleEndian(place[8..]),
        BinaryPrimitives.ReadInt32LittleEndian(place[16..]), place.Slice(24, EngineBoard.NonceBytes).ToArray());
}
