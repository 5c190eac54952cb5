// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Engine.Memory;

/// <summary>A registered range as peers of this host see it; 64 bytes, laid out for them.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal struct BoardEntry
{
    /// <summary>First byte; with a length of 0 the entry is empty.</summary>
    public ulong Address;

    /// <summary>Length in bytes; 0: empty.</summary>
    public ulong Length;

    /// <summary>Names the engine's memory that it is, or 0.</summary>
    public ulong Block;

    /// <summary>Length of that memory's file, in bytes.</summary>
    public long BlockLength;

    /// <summary>Number of that file in the owner's process.</summary>
    public int Descriptor;

    /// <summary><see cref="Host"/>, <see cref="Device"/>, or 0: peers may not use it.</summary>
    public int IsRemote;

    /// <summary>Peers may read and write it.</summary>
    public const int Host = 1;

    /// <summary>Peers may read and write it through its owner: its addresses are a device's.</summary>
    public const int Device = 2;

    /// <summary>Whether all of a range lies in it.</summary>
    public readonly bool Contains(ulong first, ulong bytes) =>
        first >= Address && first - Address <= Length && bytes <= Length - (first - Address);

    /// <summary>Whether all of a range lies in it and peers may follow its addresses.</summary>
    public readonly bool Offers(ulong first, ulong bytes) => IsRemote == Host && Contains(first, bytes);
}

/// <summary>
/// A page that an engine shows to the peers of its host, which map it for reading: a nonce that proves whose it is,
/// what is registered, and what this engine is copying at theirs. A peer that copies one-sided announces it in a cell
/// of its own board, with the sequence of the owner's registrations; the owner changes the sequence when it ends one,
/// and waits for the cells that are older. Thread-safe, but for <see cref="Set"/>.
/// </summary>
internal sealed unsafe class EngineBoard : IDisposable
{
    /// <summary>Most registered ranges of an engine.</summary>
    public const int MostRegions = 16_384;

    /// <summary>Cells in which copies are announced.</summary>
    public const int Cells = 4096;

    /// <summary>Bytes of the nonce.</summary>
    public const int NonceBytes = 32;

    /// <summary>Where the sequence lies, in bytes.</summary>
    public const int SequenceOffset = 64;

    /// <summary>Where the number of entries lies, in bytes.</summary>
    public const int CountOffset = 128;

    /// <summary>Where the number of ranges that lie on a device is, in bytes.</summary>
    public const int DevicesOffset = 192;

    /// <summary>Where the cells begin, in bytes.</summary>
    public const int CellsOffset = 4096;

    /// <summary>Length of a cell, in bytes: a line of the cache.</summary>
    public const int CellBytes = 64;

    /// <summary>Where the entries begin, in bytes.</summary>
    public const int EntriesOffset = CellsOffset + (Cells * CellBytes);

    /// <summary>Length of the board, in bytes.</summary>
    public const long Bytes = EntriesOffset + ((long)MostRegions * 64);

    private readonly MemoryBlock _block;
    private readonly Lock _gate = new();
    private readonly bool[] _taken = new bool[Cells / CellsOfSession];

    /// <summary>Cells of one session: copies to one peer at a time.</summary>
    public const int CellsOfSession = 8;

    private EngineBoard(MemoryBlock block) => _block = block;

    /// <summary>First byte of the board in this process.</summary>
    public byte* Pointer => _block.Pointer;

    /// <summary>Number of its file in this process.</summary>
    public int Descriptor => _block.Descriptor;

    /// <summary>The nonce.</summary>
    public ReadOnlySpan<byte> Nonce => new(_block.Pointer, NonceBytes);

    /// <summary>Even: what is registered stands still; changed by every change of it.</summary>
    public ulong Sequence => Volatile.Read(ref *(ulong*)(_block.Pointer + SequenceOffset));

    /// <summary>Makes a board with nothing registered.</summary>
    public static MeshResult<EngineBoard> Create(RandomSource random)
    {
        var block = MemoryBlock.Allocate("mooncake-engine-board", Bytes, hugePages: false);
        if (!block.Succeeded)
            return block.Error!;
        random.Fill(new Span<byte>(block.Value.Pointer, NonceBytes));
        *(ulong*)(block.Value.Pointer + SequenceOffset) = 2;
        return new EngineBoard(block.Value);
    }

    /// <summary>Shows an entry; one caller at a time.</summary>
    /// <returns>The sequence from then on.</returns>
    public ulong Set(int index, in BoardEntry entry)
    {
        ulong before = Sequence;
        Volatile.Write(ref *(ulong*)(_block.Pointer + SequenceOffset), before + 1);
        Interlocked.MemoryBarrier();
        ((BoardEntry*)(_block.Pointer + EntriesOffset))[index] = entry;
        int* count = (int*)(_block.Pointer + CountOffset);
        if (index >= *count)
            *count = index + 1;
        Interlocked.MemoryBarrier();
        Volatile.Write(ref *(ulong*)(_block.Pointer + SequenceOffset), before + 2);
        // Whoever announced a copy before this sees the new sequence, or is seen with the old one.
        Interlocked.MemoryBarrier();
        return before + 2;
    }

    /// <summary>So many more ranges lie on a device; one caller at a time, before they are shown.</summary>
    public void CountDevices(int more) =>
        Interlocked.Add(ref *(int*)(_block.Pointer + DevicesOffset), more);

    /// <summary>A cell, to be written by the one copy that has it.</summary>
    public ref ulong Cell(int number) => ref *(ulong*)(_block.Pointer + CellsOffset + (number * CellBytes));

    /// <summary>Takes the cells of a session; the number of the first, or -1: there are none left.</summary>
    public int TakeCells()
    {
        lock (_gate)
        {
            int free = Array.IndexOf(_taken, false);
            if (free < 0)
                return -1;
            _taken[free] = true;
            return free * CellsOfSession;
        }
    }

    /// <summary>Gives the cells of a session back; no copy has one.</summary>
    public void ReturnCells(int first)
    {
        lock (_gate)
            _taken[first / CellsOfSession] = false;
    }

    /// <inheritdoc/>
    public void Dispose() => _block.Dispose();
}
