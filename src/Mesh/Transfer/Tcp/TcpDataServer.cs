// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// The holder's side of the data lane: a blocking thread for each connection moves bytes straight between the socket
/// and the segment. Reads are sent from under a pin; writes go into a reservation (rules A1, A2, A5). Thread-safe.
/// </summary>
internal sealed class TcpDataServer : IAsyncDisposable
{
    /// <summary>Most data connections at one time; each has a thread.</summary>
    public const int MostConnections = 1024;

    private const int StackBytes = 256 * 1024;

    /// <summary>Longer than the peer lets a connection idle, so that it is the peer who closes.</summary>
    private static readonly TimeSpan IdleLimit = TcpTransport.IdleLimit * 2;

    /// <summary>Longest time that a device may take for one transfer; the socket has its own.</summary>
    private static readonly TimeSpan DevicePatience = BlockingSocket.NoProgress;

    private readonly HashSet<BlockingSocket> _open = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ObjectStore _store;
    private readonly IReservedMemory _reserved;
    private readonly ILogger _log;
    private readonly LogGate _garbageGate;
    private readonly LogGate _refusedGate;
    private long _garbage;
    private long _refused;
    private bool _closed;

    public TcpDataServer(ObjectStore store, IReservedMemory reserved, MeshRuntime runtime)
    {
        _store = store;
        _reserved = reserved;
        _log = runtime.Log.CreateLogger("mesh.data");
        _garbageGate = new LogGate(runtime.Time);
        _refusedGate = new LogGate(runtime.Time);
    }

    /// <summary>Data connections open now.</summary>
    public int Connections
    {
        get
        {
            lock (_open)
                return _open.Count;
        }
    }

    /// <summary>Connections closed because they spoke no legal protocol.</summary>
    public long GarbageConnections => Volatile.Read(ref _garbage);

    /// <summary>Connections refused because <see cref="MostConnections"/> were open.</summary>
    public long RefusedConnections => Volatile.Read(ref _refused);

    /// <summary>Serves a connection whose handshake is done.</summary>
    public void Take(IPeerConnection connection)
    {
        if (connection is not SocketConnection plain || BlockingSocket.Take(plain) is not { } socket)
        {
            connection.Abort();
            return;
        }

        bool welcome;
        lock (_open)
        {
            welcome = !_closed && _open.Count < MostConnections;
            if (welcome)
                _open.Add(socket);
        }

        if (welcome)
        {
            new Thread(Serve, StackBytes) { IsBackground = true, Name = "mesh-data" }.Start(socket);
            return;
        }

        Interlocked.Increment(ref _refused);
        if (_refusedGate.TryPass(out long more))
        {
            _log.LogWarning("data_connection_refused peer={Peer} limit={Limit} more={More}", socket.Remote,
                MostConnections, more);
        }

        socket.Dispose();
    }

    /// <summary>Cuts every connection and waits for the threads.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_open)
        {
            _closed = true;
            foreach (var socket in _open)
                socket.Stop();
            if (_open.Count == 0)
                _ended.TrySetResult();
        }

        await _ended.Task;
    }

    private unsafe void Serve(object? state)
    {
        var socket = (BlockingSocket)state!;
        byte* header = stackalloc byte[DataRequest.Bytes];
        while (socket.WaitForInput(IdleLimit)
            && socket.Receive(header, DataRequest.Bytes) == DataRequest.Bytes
            && TryAnswer(socket, DataRequest.Read(new ReadOnlySpan<byte>(header, DataRequest.Bytes))))
        {
        }

        socket.Dispose();
        lock (_open)
        {
            _open.Remove(socket);
            if (_closed && _open.Count == 0)
                _ended.TrySetResult();
        }
    }

    /// <summary>Answers a request; false when the connection is to be closed.</summary>
    private bool TryAnswer(BlockingSocket socket, in DataRequest request)
    {
        if (request.Length < 0 || request.Skip < 0
            || request.Operation is not (DataOperation.Read or DataOperation.Write))
        {
            Interlocked.Increment(ref _garbage);
            if (_garbageGate.TryPass(out long more))
            {
                _log.LogWarning("garbage_on_data_lane peer={Peer} operation={Operation} length={Length} more={More}",
                    socket.Remote, (int)request.Operation, request.Length, more);
            }

            return false;
        }

        return request.Operation == DataOperation.Read ? TrySend(socket, request) : TryReceive(socket, request);
    }

    private unsafe bool TrySend(BlockingSocket socket, in DataRequest request)
    {
        if (!_store.TryPin(request.SegmentId, request.Offset, request.Token, out var pin))
            return TryReply(socket, request, DataStatus.Stale);
        using (pin)
        {
            if (request.Length > pin.Length || request.Skip > pin.Length - request.Length)
                return TryReply(socket, request, DataStatus.Stale);
            var bytes = pin.Bytes.Part(request.Skip, request.Length);
            if (bytes.Length > 0 && bytes.OnDevice is { } device)
                return TrySendFrom(device, socket, request);
            return TryReply(socket, request, DataStatus.Done)
                && (!bytes.TryHost(out byte* from) || socket.TrySend(from, request.Length));
        }
    }

    /// <summary>
    /// Sends what a device has, chunk by chunk. The answer goes with the first one, or says that there is none.
    /// </summary>
    private static bool TrySendFrom(DeviceBuffer device, BlockingSocket socket, in DataRequest request)
    {
        var asked = request;
        var sink = new SocketSink(socket, request.Length, () => TryReply(socket, asked, DataStatus.Done));
        if (DeviceMoves.Read(device, sink, DevicePatience, null) == TransferOutcome.Done)
            return true;
        return !sink.HasBegun && TryReply(socket, request, DataStatus.Failed);
    }

    private unsafe bool TryReceive(BlockingSocket socket, in DataRequest request)
    {
        if (_reserved.BeginWrite(request.Token) is not { } reservation)
            return Refuse(socket, request);
        bool fits = reservation.Size == request.Length;
        reservation.Sums = null;
        var sums = fits ? new SliceSums(request.Length) : null;
        var received = sums is null ? TransferOutcome.Stale : Received(socket, reservation, sums);
        bool whole = received == TransferOutcome.Done;
        if (whole)
            reservation.Sums = sums;

        // Before the answer: whoever has it may seal at once.
        _reserved.EndWrite(request.Token);
        if (!fits)
            return Refuse(socket, request);
        if (received == TransferOutcome.DeviceFailed)
        {
            // What is still on its way belongs to nothing now: the connection ends with this answer.
            TryReply(socket, request, DataStatus.Failed);
            TryDrain(socket, request.Length);
            return false;
        }

        return whole && TryReply(socket, request, DataStatus.Done);
    }

    /// <summary>Receives all bytes of a reservation.</summary>
    private static unsafe TransferOutcome Received(BlockingSocket socket, Reservation reservation, SliceSums sums) =>
        ReservedExtents.Each(reservation, sums, (extent, _, part) => extent.Device is { } device
            ? DeviceMoves.Write(device, new SocketSource(socket, extent.Length, part!), DevicePatience, null)
            : socket.Receive((byte*)extent.Address, extent.Length, part!) == extent.Length
                ? TransferOutcome.Done : TransferOutcome.Unreachable);

    /// <summary>Says no to a write; its bytes are on their way and are thrown away.</summary>
    private static bool Refuse(BlockingSocket socket, in DataRequest request) =>
        TryReply(socket, request, DataStatus.Stale) && TryDrain(socket, request.Length);

    /// <summary>
    /// Takes what is on its way, up to a bound: closing with unread bytes would reset the connection under the answer.
    /// </summary>
    private static unsafe bool TryDrain(BlockingSocket socket, long length)
    {
        const int Piece = 16 * 1024;
        const long Most = 64L << 20;
        byte* scrap = stackalloc byte[Piece];
        for (long left = Math.Min(length, Most); left > 0;)
        {
            long got = socket.Receive(scrap, Math.Min(left, Piece));
            if (got == 0)
                return false;
            left -= got;
        }

        return length <= Most;
    }

    private static unsafe bool TryReply(BlockingSocket socket, in DataRequest request, DataStatus status)
    {
        byte* header = stackalloc byte[DataAnswer.Bytes];
        long length = status == DataStatus.Done ? request.Length : 0;
        new DataAnswer(status, request.Id, length).Write(new Span<byte>(header, DataAnswer.Bytes));
        return socket.TrySend(header, DataAnswer.Bytes);
    }
}
