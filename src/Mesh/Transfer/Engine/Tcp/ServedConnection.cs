// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Text;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Staging;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine.Tcp;

/// <summary>What the connections of peers reach in this process.</summary>
/// <param name="Memory">What is registered.</param>
/// <param name="Notifies">Where messages go.</param>
/// <param name="Sessions">Processes of this host that copy by themselves; null: they may not.</param>
internal sealed record ServedParts(RegisteredMemory Memory, NotifyQueue Notifies, ServedSessions? Sessions);

/// <summary>
/// A peer's connection, served by one thread. It reads and writes registered memory alone, and only while it is counted
/// there as a user; what is anything else is refused, entry by entry, or closes the connection.
/// </summary>
/// <param name="socket">The connection; disposed with this.</param>
/// <param name="parts">What it reaches.</param>
internal sealed unsafe class ServedConnection(BlockingSocket socket, ServedParts parts) : IDisposable
{
    private readonly RegisteredRegion?[] _using = new RegisteredRegion?[EngineRequest.MostEntries];
    private readonly byte[] _head = new byte[EngineRequest.LengthOf(EngineRequest.MostEntries)];
    private readonly byte[] _statuses = new byte[EngineRequest.MostEntries];

    /// <summary>The connection itself.</summary>
    public BlockingSocket Socket => socket;

    /// <summary>Whether the connection ended because it spoke no legal protocol.</summary>
    public bool WasGarbage { get; private set; }

    /// <summary>Entries that were refused.</summary>
    public long Refusals { get; private set; }

    /// <summary>Whether it uses a range now; a hint, to be asked again.</summary>
    public bool Uses(RegisteredRegion region) => Array.IndexOf(_using, region) >= 0;

    /// <summary>Serves until the connection ends.</summary>
    /// <param name="idle">How long it may be silent.</param>
    public void Serve(TimeSpan idle)
    {
        while (socket.WaitForInput(idle) && TryReceive(0, EngineRequest.LeastBytes))
        {
            if (!EngineRequest.TryRead(_head, out var request))
            {
                WasGarbage = true;
                return;
            }

            if (!Answer(request))
                return;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    private bool Answer(in EngineRequest request) => request.Operation switch
    {
        EngineOperation.Write => TryTable(request) && Write(request),
        EngineOperation.Read => TryTable(request) && Read(request),
        EngineOperation.Notify => Notify(request),
        EngineOperation.Local => Local(request),
        EngineOperation.FirstAddress => FirstAddress(request),
        _ => Reply(new EngineAnswer(EntryStatus.Done, 0, request.Id, 0)),
    };

    /// <summary>Receives the entries; false: the connection broke, or they are not what the head says.</summary>
    private bool TryTable(in EngineRequest request)
    {
        if (!TryReceive(EngineRequest.LeastBytes, EngineRequest.LengthOf(request.Count)))
            return false;
        ulong sum = 0;
        bool legal = true;
        for (int i = 0; i < request.Count; i++)
        {
            ulong length = EntryOf(i).Length;
            legal &= length is > 0 and <= (ulong)EngineRequest.MostBytes;
            sum += legal ? length : 0;
        }

        legal &= sum == (ulong)request.Bytes;
        WasGarbage = !legal;
        return legal;
    }

    /// <summary>Receives a part of the head.</summary>
    private bool TryReceive(int from, int to)
    {
        fixed (byte* head = _head)
            return socket.Receive(head + from, to - from) == to - from;
    }

    private (ulong Address, ulong Length) EntryOf(int index) => EngineRequest.ReadEntry(_head, index);

    private bool Write(in EngineRequest request)
    {
        bool whole = true;
        try
        {
            EnterAll(request.Count);
            for (int i = 0, end; whole && i < request.Count; i = end)
            {
                end = EndOfRun(i, request.Count);
                whole = _using[i] switch
                {
                    null => EntryRanges.Drain(socket, BytesOf(i, end)),
                    { Device: { } device } => Receive(device, i, end),
                    _ => Receive(i, end),
                };
            }
        }
        finally
        {
            Leave(request.Count);
        }

        return whole && ReplyWith(new EngineAnswer(EntryStatus.Done, request.Count, request.Id, 0), null, 1, 0);
    }

    private bool Read(in EngineRequest request)
    {
        try
        {
            return EnterAll(request.Count) ? ReadDevices(request) : ReadHost(request);
        }
        finally
        {
            Leave(request.Count);
        }
    }

    /// <summary>Sends head, statuses and memory in one go.</summary>
    private bool ReadHost(in EngineRequest request)
    {
        var from = stackalloc iovec[EngineRequest.MostEntries + 1];
        int count = 1;
        long bytes = 0;
        for (int i = 0; i < request.Count; i++)
        {
            if (_using[i] is null)
                continue;
            var (address, length) = EntryOf(i);
            from[count++] = new iovec { iov_base = (void*)address, iov_len = (nuint)length };
            bytes += (long)length;
        }

        return ReplyWith(new EngineAnswer(EntryStatus.Done, request.Count, request.Id, bytes), from, count, bytes);
    }

    /// <summary>
    /// Sends memory run by run, that of a device chunk by chunk. Head and statuses go with the first bytes: a device
    /// that fails before is refused like a range that is not registered, one that fails later ends the connection.
    /// </summary>
    private bool ReadDevices(EngineRequest request)
    {
        bool begun = false;
        for (int i = 0, end; i < request.Count; i = end)
        {
            end = EndOfRun(i, request.Count);
            if (_using[i] is not { } region)
                continue;
            if (region.Device is not { } device)
            {
                if ((!begun && !Begin()) || !Send(i, end))
                    return false;
                continue;
            }

            var sink = new SocketSink(socket, BytesOf(i, end), begun ? null : Begin);
            var read = DeviceMoves.Read(device.BufferOf(RangesOf(i, end)), sink, EngineWork.DevicePatience, null);
            if (read == TransferOutcome.Done)
                continue;
            if (begun || read != TransferOutcome.DeviceFailed)
                return false;
            Refuse(i, end);
        }

        return begun || Begin();

        bool Begin()
        {
            begun = true;
            long bytes = 0;
            for (int i = 0; i < request.Count; i++)
                bytes += _statuses[i] == (byte)EntryStatus.Done ? (long)EntryOf(i).Length : 0;
            return ReplyWith(new EngineAnswer(EntryStatus.Done, request.Count, request.Id, bytes), null, 1, 0);
        }
    }

    /// <summary>Begins to use the memory of all entries that may be, and says of each whether it may.</summary>
    /// <returns>Whether any of it is a device's.</returns>
    private bool EnterAll(int count)
    {
        bool devices = false;
        for (int i = 0; i < count; i++)
        {
            var (address, length) = EntryOf(i);
            _using[i] = parts.Memory.EnterFor(address, length, out var status);
            _statuses[i] = (byte)status;
            Refusals += _using[i] is null ? 1 : 0;
            devices |= _using[i]?.Device is not null;
        }

        return devices;
    }

    /// <summary>Where a run of entries ends that are in host memory, on one device, or refused.</summary>
    private int EndOfRun(int first, int count)
    {
        int end = first + 1;
        while (end < count && (_using[end] is null) == (_using[first] is null)
            && ReferenceEquals(_using[end]?.Device, _using[first]?.Device))
            end++;
        return end;
    }

    private long BytesOf(int first, int end)
    {
        long bytes = 0;
        for (int i = first; i < end; i++)
            bytes += (long)EntryOf(i).Length;
        return bytes;
    }

    private DeviceRange[] RangesOf(int first, int end)
    {
        var ranges = new DeviceRange[end - first];
        for (int i = first; i < end; i++)
            ranges[i - first] = new DeviceRange((nint)EntryOf(i).Address, (long)EntryOf(i).Length);
        return ranges;
    }

    private void Refuse(int first, int end) =>
        _statuses.AsSpan(first, end - first).Fill((byte)EntryStatus.DeviceFailed);

    private long Fill(int first, int end, iovec* parts)
    {
        long bytes = 0;
        for (int i = first; i < end; i++)
        {
            var (address, length) = EntryOf(i);
            parts[i - first] = new iovec { iov_base = (void*)address, iov_len = (nuint)length };
            bytes += (long)length;
        }

        return bytes;
    }

    private bool Send(int first, int end)
    {
        var from = stackalloc iovec[EngineRequest.MostEntries];
        long bytes = Fill(first, end, from);
        return socket.TrySend(new Span<iovec>(from, end - first), bytes);
    }

    private bool Receive(int first, int end)
    {
        var into = stackalloc iovec[EngineRequest.MostEntries];
        long bytes = Fill(first, end, into);
        return socket.TryReceive(new Span<iovec>(into, end - first), bytes);
    }

    /// <summary>Receives into a device; what one that fails does not take is thrown away.</summary>
    private bool Receive(RegionDevice device, int first, int end)
    {
        long bytes = BytesOf(first, end);
        var source = new SocketSource(socket, bytes, null);
        var written = DeviceMoves.Write(device.BufferOf(RangesOf(first, end)), source, EngineWork.DevicePatience, null);
        if (written != TransferOutcome.DeviceFailed)
            return written == TransferOutcome.Done;
        Refuse(first, end);
        return EntryRanges.Drain(socket, bytes - source.Received);
    }

    private void Leave(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _using[i]?.Leave();
            _using[i] = null;
        }
    }

    private bool Notify(in EngineRequest request)
    {
        // A message costs its sender as many bytes as it takes here, and there is room for few of them.
        long bytes = request.Count + request.Bytes;
        if (!parts.Notifies.HasRoom(bytes))
            return EntryRanges.Drain(socket, bytes) && Reply(new EngineAnswer(EntryStatus.Full, 0, request.Id, 0));
        byte[] text = new byte[bytes];
        fixed (byte* first = text)
        {
            if (socket.Receive(first, bytes) != bytes)
                return false;
        }

        var message = new TransferNotify(Encoding.UTF8.GetString(text, 0, request.Count),
            Encoding.UTF8.GetString(text, request.Count, (int)request.Bytes));
        var status = parts.Notifies.TryAdd(message, bytes) ? EntryStatus.Done : EntryStatus.Full;
        return Reply(new EngineAnswer(status, 0, request.Id, 0));
    }

    private bool FirstAddress(in EngineRequest request)
    {
        foreach (var region in parts.Memory.Regions)
        {
            if (region is { IsRemote: true, IsClosed: false })
                return Reply(new EngineAnswer(EntryStatus.Done, 0, request.Id, (long)region.Address));
        }

        return Reply(new EngineAnswer(EntryStatus.NotRegistered, 0, request.Id, 0));
    }

    /// <summary>
    /// Both sides find each other's board, or the peer is told no. If they do, the connection is from then on the sign
    /// that the peer lives.
    /// </summary>
    private bool Local(in EngineRequest request)
    {
        byte* bytes = stackalloc byte[EngineAnswer.LeastBytes + BoardOffer.Bytes];
        if (socket.Receive(bytes, BoardOffer.Bytes) != BoardOffer.Bytes)
            return false;
        var offer = BoardOffer.Read(new ReadOnlySpan<byte>(bytes, BoardOffer.Bytes));
        var board = parts.Sessions is null || offer.FirstCell < 0 ? null : PeerBoard.TryOpen(offer);
        if (board is not null && !parts.Sessions!.TryEnter(board))
        {
            board.Dispose();
            board = null;
        }

        if (board is null)
            return Reply(new EngineAnswer(EntryStatus.NotLocal, 0, request.Id, 0));
        new EngineAnswer(EntryStatus.Done, 0, request.Id, BoardOffer.Bytes).Write(
            new Span<byte>(bytes, EngineAnswer.LeastBytes));
        BoardOffer.Of(parts.Memory.Board, firstCell: -1).Write(
            new Span<byte>(bytes + EngineAnswer.LeastBytes, BoardOffer.Bytes));
        if (socket.TrySend(bytes, EngineAnswer.LeastBytes + BoardOffer.Bytes))
            parts.Sessions!.UntilGone(socket, board);
        else
            parts.Sessions!.Leave(board);
        return false;
    }

    private bool Reply(in EngineAnswer answer) => ReplyWith(answer, null, 1, 0);

    /// <summary>
    /// Sends head, statuses and memory in one go; <paramref name="from"/> has a free place in front, or is null.
    /// </summary>
    private bool ReplyWith(in EngineAnswer answer, iovec* from, int count, long bytes)
    {
        int length = EngineAnswer.LengthOf(answer.Count);
        byte* head = stackalloc byte[length];
        answer.Write(new Span<byte>(head, length));
        _statuses.AsSpan(0, answer.Count).CopyTo(new Span<byte>(head + EngineAnswer.HeadBytes, answer.Count));
        iovec alone;
        var all = from is null ? &alone : from;
        all[0] = new iovec { iov_base = head, iov_len = (nuint)length };
        return socket.TrySend(new Span<iovec>(all, count), length + bytes);
    }
}
