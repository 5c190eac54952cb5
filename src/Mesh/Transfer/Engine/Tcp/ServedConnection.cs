// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Text;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Interop;
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
    /// <summary>What is refused is received into so much, over and over.</summary>
    private const int ScrapBytes = 64 * 1024;

    private readonly RegisteredRegion?[] _using = new RegisteredRegion?[EngineRequest.MostEntries];
    private readonly byte[] _table = new byte[EngineRequest.MostEntries * EngineRequest.EntryBytes];
    private byte[]? _scrap;

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
        byte* head = stackalloc byte[EngineRequest.HeadBytes];
        while (socket.WaitForInput(idle) && socket.Receive(head, EngineRequest.HeadBytes) == EngineRequest.HeadBytes)
        {
            if (!EngineRequest.TryRead(new ReadOnlySpan<byte>(head, EngineRequest.HeadBytes), out var request))
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
        long bytes = (long)request.Count * EngineRequest.EntryBytes;
        fixed (byte* table = _table)
        {
            if (socket.Receive(table, bytes) != bytes)
                return false;
        }

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

    private (ulong Address, ulong Length) EntryOf(int index) =>
        EngineRequest.ReadEntry(_table.AsSpan(index * EngineRequest.EntryBytes));

    private bool Write(in EngineRequest request)
    {
        byte* statuses = stackalloc byte[EngineRequest.MostEntries];
        var into = stackalloc iovec[EngineRequest.MostEntries];
        int count = 0;
        long bytes = 0;
        bool whole = true;
        try
        {
            for (int i = 0; whole && i < request.Count; i++)
            {
                var (address, length) = EntryOf(i);
                _using[i] = parts.Memory.EnterFor(address, length, out var status);
                statuses[i] = (byte)status;
                if (_using[i] is not null)
                {
                    into[count++] = new iovec { iov_base = (void*)address, iov_len = (nuint)length };
                    bytes += (long)length;
                    continue;
                }

                Refusals++;
                whole = Receive(into, ref count, ref bytes) && Drain((long)length);
            }

            whole = whole && Receive(into, ref count, ref bytes);
        }
        finally
        {
            Leave(request.Count);
        }

        var answer = new EngineAnswer(EntryStatus.Done, request.Count, request.Id, 0);
        return whole && ReplyWith(answer, statuses, null, 0, 0);
    }

    private bool Read(in EngineRequest request)
    {
        byte* statuses = stackalloc byte[EngineRequest.MostEntries];
        var from = stackalloc iovec[EngineRequest.MostEntries + 2];
        int count = 2;
        long bytes = 0;
        try
        {
            for (int i = 0; i < request.Count; i++)
            {
                var (address, length) = EntryOf(i);
                _using[i] = parts.Memory.EnterFor(address, length, out var status);
                statuses[i] = (byte)status;
                if (_using[i] is null)
                {
                    Refusals++;
                    continue;
                }

                from[count++] = new iovec { iov_base = (void*)address, iov_len = (nuint)length };
                bytes += (long)length;
            }

            return ReplyWith(new EngineAnswer(EntryStatus.Done, request.Count, request.Id, bytes), statuses, from,
                count, bytes);
        }
        finally
        {
            Leave(request.Count);
        }
    }

    private bool Receive(iovec* into, ref int count, ref long bytes)
    {
        bool whole = count == 0 || socket.TryReceive(new Span<iovec>(into, count), bytes);
        count = 0;
        bytes = 0;
        return whole;
    }

    private bool Drain(long length)
    {
        _scrap ??= new byte[ScrapBytes];
        fixed (byte* scrap = _scrap)
        {
            for (long left = length; left > 0;)
            {
                long got = socket.Receive(scrap, Math.Min(left, ScrapBytes));
                if (got == 0)
                    return false;
                left -= got;
            }
        }

        return true;
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
            return Drain(bytes) && Reply(new EngineAnswer(EntryStatus.Full, 0, request.Id, 0));
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
        byte* bytes = stackalloc byte[EngineAnswer.HeadBytes + BoardOffer.Bytes];
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
            new Span<byte>(bytes, EngineAnswer.HeadBytes));
        BoardOffer.Of(parts.Memory.Board, firstCell: -1).Write(
            new Span<byte>(bytes + EngineAnswer.HeadBytes, BoardOffer.Bytes));
        if (socket.TrySend(bytes, EngineAnswer.HeadBytes + BoardOffer.Bytes))
            parts.Sessions!.UntilGone(socket, board);
        else
            parts.Sessions!.Leave(board);
        return false;
    }

    private bool Reply(in EngineAnswer answer)
    {
        byte* head = stackalloc byte[EngineAnswer.HeadBytes];
        answer.Write(new Span<byte>(head, EngineAnswer.HeadBytes));
        return socket.TrySend(head, EngineAnswer.HeadBytes);
    }

    /// <summary>
    /// Sends head, statuses and memory in one go; <paramref name="from"/> has two free places in front, or is null.
    /// </summary>
    private bool ReplyWith(in EngineAnswer answer, byte* statuses, iovec* from, int count, long bytes)
    {
        byte* head = stackalloc byte[EngineAnswer.HeadBytes];
        answer.Write(new Span<byte>(head, EngineAnswer.HeadBytes));
        var none = stackalloc iovec[2];
        var all = from is null ? none : from;
        all[0] = new iovec { iov_base = head, iov_len = EngineAnswer.HeadBytes };
        all[1] = new iovec { iov_base = statuses, iov_len = (nuint)answer.Count };
        return socket.TrySend(new Span<iovec>(all, from is null ? 2 : count),
            EngineAnswer.HeadBytes + answer.Count + bytes);
    }
}
