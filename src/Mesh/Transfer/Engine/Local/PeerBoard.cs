// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Globalization;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Engine.Local;

/// <summary>
/// The board of another process of this host, mapped for reading, and a descriptor that tells of that process's end.
/// Nothing on it is believed beyond what it is: numbers are checked where they are used. Thread-safe.
/// </summary>
internal sealed unsafe class PeerBoard : IDisposable
{
    private const string BoardFile = "/memfd:mooncake-engine-board";
    private const string MemoryFile = "/memfd:mooncake-engine-memory";
    private readonly MemoryBlock _block;

    private PeerBoard(in BoardOffer offer, int pidDescriptor, MemoryBlock block)
    {
        Pid = offer.Pid;
        Address = offer.Address;
        FirstCell = offer.FirstCell;
        PidDescriptor = pidDescriptor;
        _block = block;
    }

    /// <summary>Its process.</summary>
    public int Pid { get; }

    /// <summary>Where the board is in that process.</summary>
    public ulong Address { get; }

    /// <summary>Where on it copies of that process to this one are announced.</summary>
    public int FirstCell { get; }

    /// <summary>Readable once that process has ended.</summary>
    public int PidDescriptor { get; }

    /// <summary>The nonce on it.</summary>
    public ReadOnlySpan<byte> Nonce => new(_block.Pointer, EngineBoard.NonceBytes);

    /// <summary>See <see cref="EngineBoard.Sequence"/>.</summary>
    public ulong Sequence => Volatile.Read(ref *(ulong*)(_block.Pointer + EngineBoard.SequenceOffset));

    /// <summary>Whether anything that is registered there lies on a device.</summary>
    public bool HasDevices => Volatile.Read(ref *(int*)(_block.Pointer + EngineBoard.DevicesOffset)) != 0;

    /// <summary>Maps a board; null: it is not there, not to be opened by us, or not the one that is meant.</summary>
    public static PeerBoard? TryOpen(in BoardOffer offer)
    {
        if (offer.Pid <= 0 || offer.FirstCell < -1 || offer.FirstCell > EngineBoard.Cells - EngineBoard.CellsOfSession)
            return null;
        // The process first: while it lives its number is nobody else's.
        int process = (int)LibC.pidfd_open(LibC.SYS_pidfd_open, offer.Pid, 0);
        if (process < 0)
            return null;
        int file = OpenFile(offer.Pid, offer.Descriptor, BoardFile, LibC.O_RDONLY);
        var mapped = file < 0 ? default : MemoryBlock.MapReadOnly(file, EngineBoard.Bytes);
        if (file < 0 || !mapped.Succeeded)
        {
            _ = LibC.close(process);
            return null;
        }

        var board = new PeerBoard(offer, process, mapped.Value);
        if (board.Nonce.SequenceEqual(offer.Nonce) && !board.HasEnded)
            return board;
        board.Dispose();
        return null;
    }

    /// <summary>Whether its process has ended.</summary>
    public bool HasEnded
    {
        get
        {
            var poll = new pollfd { fd = PidDescriptor, events = LibC.POLLIN };
            return LibC.poll(&poll, 1, 0) != 0;
        }
    }

    /// <summary>A cell of the session, from 0 on: the sequence of a copy under way plus 1, or 0.</summary>
    public ulong Cell(int number) => Volatile.Read(
        ref *(ulong*)(_block.Pointer + EngineBoard.CellsOffset + ((FirstCell + number) * EngineBoard.CellBytes)));

    /// <summary>Reads all entries that are there.</summary>
    /// <param name="entries">Gets them.</param>
    /// <returns>The sequence they belong to; 0: they were being changed.</returns>
    public ulong TryRead(List<BoardEntry> entries)
    {
        entries.Clear();
        ulong before = Sequence;
        if (before == 0 || (before & 1) != 0)
            return 0;
        Interlocked.MemoryBarrier();
        int count = Math.Clamp(*(int*)(_block.Pointer + EngineBoard.CountOffset), 0, EngineBoard.MostRegions);
        var first = (BoardEntry*)(_block.Pointer + EngineBoard.EntriesOffset);
        for (int i = 0; i < count; i++)
        {
            var entry = first[i];
            if (entry.Length > 0 && entry.Length <= ulong.MaxValue - entry.Address)
                entries.Add(entry);
        }

        Interlocked.MemoryBarrier();
        return Sequence == before ? before : 0;
    }

    /// <summary>Maps memory of the engine's allocator there, for reading and writing; null: it cannot be.</summary>
    public MemoryBlock? TryMap(in BoardEntry entry)
    {
        if (entry.BlockLength <= 0 || entry.Length > (ulong)entry.BlockLength)
            return null;
        int file = OpenFile(Pid, entry.Descriptor, MemoryFile, LibC.O_RDWR);
        if (file < 0)
            return null;
        var mapped = MemoryBlock.MapWritable(file, entry.BlockLength);
        return mapped.Succeeded ? mapped.Value : null;
    }

    /// <summary>Whether the kernel lets us copy out of that process: its nonce is found where it says it is.</summary>
    public bool CanCopy()
    {
        byte* found = stackalloc byte[EngineBoard.NonceBytes];
        var local = new iovec { iov_base = found, iov_len = EngineBoard.NonceBytes };
        var remote = new iovec { iov_base = (void*)Address, iov_len = EngineBoard.NonceBytes };
        return LibC.process_vm_readv(Pid, &local, 1, &remote, 1, 0) == EngineBoard.NonceBytes
            && Nonce.SequenceEqual(new ReadOnlySpan<byte>(found, EngineBoard.NonceBytes));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _block.Dispose();
        _ = LibC.close(PidDescriptor);
    }

    /// <summary>
    /// Opens a file of another process. What it is is looked at first: opening another kind of file may have effects.
    /// </summary>
    private static int OpenFile(int pid, int descriptor, string kind, int flags)
    {
        string path = string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/fd/{descriptor}");
        try
        {
            if (File.ResolveLinkTarget(path, returnFinalTarget: false)?.FullName is not { } target
                || !target.StartsWith(kind, StringComparison.Ordinal))
                return -1;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return -1;
        }

        return LibC.open(path, flags | LibC.O_CLOEXEC | LibC.O_NONBLOCK);
    }
}
