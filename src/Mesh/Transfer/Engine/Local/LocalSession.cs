// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Staging;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine.Local;

/// <summary>
/// One-sided copies with another process of this host: through its shared memory, or by the kernel. Each copy is
/// announced on our board and goes by a table of what is registered there that is not older than the announcement, so
/// that the other side can end a registration without asking us. Thread-safe.
/// </summary>
internal sealed unsafe class LocalSession : ICopyPath, IDisposable
{
    /// <summary>Entries that go to the kernel in one call.</summary>
    private const int MostParts = 128;

    /// <summary>Tables are read anew so often before a copy is given up: somebody registers without end.</summary>
    private const int MostTables = 1000;

    private readonly ReaderWriterLockSlim _lock = new();
    private readonly Dictionary<ulong, MemoryBlock?> _mapped = [];
    private readonly List<BoardEntry> _entries = [];
    private readonly BlockingSocket _socket;
    private readonly PeerBoard _peer;
    private readonly EngineBoard _own;
    private readonly int _firstCell;
    private readonly bool _shm;
    private ulong _sequence;
    private long _aliveAt = -1;
    private int _cells;
    private bool _closed;

    private LocalSession(BlockingSocket socket, PeerBoard peer, EngineBoard own, int firstCell, bool cma, bool shm)
    {
        _socket = socket;
        _peer = peer;
        _own = own;
        _firstCell = firstCell;
        HasCma = cma;
        _shm = shm;
    }

    /// <summary>Whether the kernel copies: all that is registered there is reached.</summary>
    public bool HasCma { get; }

    /// <inheritdoc/>
    public string Name => HasCma ? "cma" : "shm";

    /// <summary>Opens a session over a connection whose handshake is done, or does not: null.</summary>
    /// <param name="socket">The connection; the session's from now on, or to be disposed by the caller.</param>
    /// <param name="own">Our board.</param>
    /// <param name="transports">What is allowed.</param>
    public static LocalSession? TryOpen(BlockingSocket socket, EngineBoard own, TransferTransports transports)
    {
        int firstCell = own.TakeCells();
        if (firstCell < 0)
            return null;
        if (Exchange(socket, BoardOffer.Of(own, firstCell)) is { } offer && PeerBoard.TryOpen(offer) is { } peer)
        {
            bool cma = transports.HasFlag(TransferTransports.Cma) && peer.CanCopy();
            bool shm = transports.HasFlag(TransferTransports.Shm);
            if (cma || shm)
                return new LocalSession(socket, peer, own, firstCell, cma, shm);
            peer.Dispose();
        }

        own.ReturnCells(firstCell);
        return null;
    }

    /// <summary>Whether the other process lives and is connected.</summary>
    public bool IsAlive => !_socket.WaitForInputOr(_peer.PidDescriptor, 0);

    /// <summary>
    /// The same, asked once in a millisecond: in so short a time no process number comes round again, and a system call
    /// costs a good part of a small copy.
    /// </summary>
    private bool WasAliveNow
    {
        get
        {
            long now = Environment.TickCount64;
            if (Volatile.Read(ref _aliveAt) == now)
                return true;
            if (!IsAlive)
                return false;
            Volatile.Write(ref _aliveAt, now);
            return true;
        }
    }

    /// <summary>Whether it may be used now.</summary>
    public bool IsAllowed(TransferTransports transports) => transports.HasFlag(HasCma
        ? TransferTransports.Cma
        : TransferTransports.Shm);

    /// <inheritdoc/>
    public bool Reaches(ulong address, ulong length)
    {
        // Where all is reached the copy itself says what is not registered. Who tells us of an address of a device has
        // counted it before.
        if (HasCma && !_peer.HasDevices)
            return true;
        for (int i = 0; i < MostTables; i++)
        {
            // Nothing is copied, so nothing is announced: whether it still is so the copy looks again.
            _lock.EnterReadLock();
            bool closed = _closed;
            bool current = !closed && _sequence != 0 && _peer.Sequence == _sequence;
            bool reached = current && CanCopy(address, length);
            _lock.ExitReadLock();
            if (current || closed)
                return reached;
            Refresh();
        }

        return false;
    }

    /// <inheritdoc/>
    public void Copy(TransferOpcode opcode, Span<EngineEntry> entries, in MoveBounds bounds)
    {
        foreach (ref var entry in entries)
            entry.Status = EntryStatus.Unreachable;
        if (!TryBegin(out int cell))
            return;
        try
        {
            if (WasAliveNow)
                CopyAll(opcode, entries);
        }
        finally
        {
            End(cell);
        }
    }

    /// <summary>Ends the session, once no copy is under way.</summary>
    public void Dispose()
    {
        _lock.EnterWriteLock();
        bool closed = _closed;
        _closed = true;
        if (!closed)
        {
            foreach (var block in _mapped.Values)
                block?.Dispose();
            _mapped.Clear();
            _own.ReturnCells(_firstCell);
            _socket.Dispose();
            _peer.Dispose();
        }

        _lock.ExitWriteLock();
    }

    private static BoardOffer? Exchange(BlockingSocket socket, BoardOffer own)
    {
        byte* bytes = stackalloc byte[EngineRequest.LeastBytes + BoardOffer.Bytes];
        new EngineRequest(EngineOperation.Local, 0, 1, BoardOffer.Bytes).Write(
            new Span<byte>(bytes, EngineRequest.LeastBytes));
        own.Write(new Span<byte>(bytes + EngineRequest.LeastBytes, BoardOffer.Bytes));
        if (!socket.TrySend(bytes, EngineRequest.LeastBytes + BoardOffer.Bytes)
            || socket.Receive(bytes, EngineAnswer.LeastBytes) != EngineAnswer.LeastBytes)
            return null;
        var answer = EngineAnswer.Read(new ReadOnlySpan<byte>(bytes, EngineAnswer.HeadBytes));
        if (answer.Status != EntryStatus.Done || answer.Bytes != BoardOffer.Bytes
            || socket.Receive(bytes, BoardOffer.Bytes) != BoardOffer.Bytes)
            return null;
        return BoardOffer.Read(new ReadOnlySpan<byte>(bytes, BoardOffer.Bytes));
    }

    /// <summary>Begins a copy, with the table of now; the lock is held for reading until <see cref="End"/>.</summary>
    private bool TryBegin(out int cell)
    {
        cell = TakeCell();
        for (int i = 0; i < MostTables; i++)
        {
            _lock.EnterReadLock();
            if (!_closed && _sequence != 0)
            {
                Volatile.Write(ref _own.Cell(_firstCell + cell), _sequence + 1);
                // The other side sees the announcement, or we see that it has changed its table.
                Interlocked.MemoryBarrier();
                if (_peer.Sequence == _sequence)
                    return true;
                Volatile.Write(ref _own.Cell(_firstCell + cell), 0);
            }

            bool closed = _closed;
            _lock.ExitReadLock();
            if (closed)
                break;
            Refresh();
        }

        ReturnCell(cell);
        return false;
    }

    private void End(int cell)
    {
        Volatile.Write(ref _own.Cell(_firstCell + cell), 0);
        _lock.ExitReadLock();
        ReturnCell(cell);
    }

    private int TakeCell()
    {
        var spin = default(SpinWait);
        while (true)
        {
            int taken = Volatile.Read(ref _cells);
            int free = System.Numerics.BitOperations.TrailingZeroCount(~taken);
            if (free < EngineBoard.CellsOfSession
                && Interlocked.CompareExchange(ref _cells, taken | (1 << free), taken) == taken)
                return free;
            // Copies are short: some megabytes each.
            spin.SpinOnce();
        }
    }

    private void ReturnCell(int cell) => Interlocked.And(ref _cells, ~(1 << cell));

    /// <summary>Reads the other side's table, and maps and unmaps its memory accordingly.</summary>
    private void Refresh()
    {
        _lock.EnterWriteLock();
        try
        {
            if (_closed || (_sequence != 0 && _peer.Sequence == _sequence))
                return;
            _sequence = 0;
            ulong sequence = _peer.TryRead(_entries);
            if (sequence == 0)
            {
                Thread.Yield();
                return;
            }

            _entries.Sort(static (a, b) => a.Address.CompareTo(b.Address));
            UnmapGone();
            foreach (var entry in _entries)
            {
                if (_shm && entry.Block != 0 && entry.IsRemote == BoardEntry.Host && !_mapped.ContainsKey(entry.Block))
                    _mapped.Add(entry.Block, _peer.TryMap(entry));
            }

            // A file that was opened by its number may by then have been another: all of it is done once more.
            if (_peer.Sequence == sequence)
                _sequence = sequence;
            else
                UnmapAll();
        }
        finally
        {
            _lock.ExitWriteLock();
        }
    }

    private void UnmapGone()
    {
        foreach (var (block, mapping) in _mapped)
        {
            if (_entries.Exists(entry => entry.Block == block))
                continue;
            mapping?.Dispose();
            _mapped.Remove(block);
        }
    }

    private void UnmapAll()
    {
        foreach (var mapping in _mapped.Values)
            mapping?.Dispose();
        _mapped.Clear();
    }

    private bool CanCopy(ulong address, ulong length)
    {
        if (EntryAt(address) is not { } entry || !entry.Contains(address, length))
            return HasCma;
        return entry.IsRemote != BoardEntry.Device && (HasCma || (entry.IsRemote == BoardEntry.Host
            && MappingOf(entry) is not null));
    }

    /// <summary>The entry of a range whose addresses may be followed, or null.</summary>
    private BoardEntry? Find(ulong address, ulong length) =>
        EntryAt(address) is { } entry && entry.Offers(address, length) ? entry : null;

    /// <summary>The last entry that begins at an address or before it, or null.</summary>
    private BoardEntry? EntryAt(ulong address)
    {
        int low = 0;
        int high = _entries.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_entries[middle].Address <= address)
                low = middle + 1;
            else
                high = middle;
        }

        return low > 0 ? _entries[low - 1] : null;
    }

    /// <summary>The memory that a range is, mapped here; the other side may show a range that is longer.</summary>
    private MemoryBlock? MappingOf(in BoardEntry entry)
    {
        var mapped = entry.Block == 0 ? null : _mapped.GetValueOrDefault(entry.Block);
        return mapped is not null && entry.Length <= (ulong)mapped.Length ? mapped : null;
    }

    private void CopyAll(TransferOpcode opcode, Span<EngineEntry> entries)
    {
        var local = stackalloc iovec[MostParts];
        var remote = stackalloc iovec[MostParts];
        Span<int> numbers = stackalloc int[MostParts];
        int parts = 0;
        bool stream = EngineEntry.BytesOf(entries) >= NativeCopy.Streaming;
        for (int i = 0; i < entries.Length; i++)
        {
            ref var entry = ref entries[i];
            if (Find(entry.Remote, (ulong)entry.Length) is not { } found)
            {
                entry.Status = EntryStatus.NotRegistered;
                continue;
            }

            if (MappingOf(found) is { } mapped)
            {
                nint there = (nint)mapped.Pointer + (nint)(entry.Remote - found.Address);
                bool read = opcode == TransferOpcode.Read;
                NativeCopy.Copy((byte*)(read ? there : entry.Local), (byte*)(read ? entry.Local : there), entry.Length,
                    stream);
                entry.Status = EntryStatus.Done;
                continue;
            }

            if (!HasCma)
            {
                entry.Status = EntryStatus.NotLocal;
                continue;
            }

            local[parts] = new iovec { iov_base = (void*)entry.Local, iov_len = (nuint)entry.Length };
            remote[parts] = new iovec { iov_base = (void*)entry.Remote, iov_len = (nuint)entry.Length };
            numbers[parts++] = i;
            if (parts == MostParts)
            {
                CopyByKernel(opcode, local, remote, entries, numbers);
                parts = 0;
            }
        }

        if (parts > 0)
            CopyByKernel(opcode, local, remote, entries, numbers[..parts]);
    }

    private void CopyByKernel(TransferOpcode opcode, iovec* local, iovec* remote, Span<EngineEntry> entries,
        Span<int> numbers)
    {
        int done = 0;
        while (done < numbers.Length)
        {
            nuint count = (nuint)(numbers.Length - done);
            nint moved = opcode == TransferOpcode.Read
                ? LibC.process_vm_readv(_peer.Pid, local + done, count, remote + done, count, 0)
                : LibC.process_vm_writev(_peer.Pid, local + done, count, remote + done, count, 0);
            while (done < numbers.Length && moved >= (nint)local[done].iov_len)
            {
                moved -= (nint)local[done].iov_len;
                entries[numbers[done++]].Status = EntryStatus.Done;
            }

            // The kernel stops where memory is missing; what comes after is tried by itself.
            if (done < numbers.Length)
                entries[numbers[done++]].Status = IsAlive ? EntryStatus.NotMapped : EntryStatus.Unreachable;
        }
    }
}
