// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>A read or write on its way over the data lane.</summary>
/// <param name="request">What is asked of the holder; numbered when it is sent.</param>
/// <param name="memory">Memory of the caller.</param>
/// <param name="sums">Gets the sums of what is moved, or null.</param>
/// <param name="patience">How long the holder may keep silent; null: as long as any.</param>
internal sealed class TcpJob(DataRequest request, NativeRange memory, SliceSums? sums, TimeSpan? patience = null)
    : TransferJob, IMoveStop
{
    public TimeSpan? Patience => patience;

    public NativeRange Memory => memory;

    public SliceSums? Sums => sums;

    /// <summary>Time that is left; for a job that waits for a device.</summary>
    public MoveLimit Limit { get; init; }

    public DataRequest ToRequest(ulong id) => request with { Id = id };
}

/// <summary>One data connection to a holder and the thread that works with it, one transfer at a time.</summary>
/// <param name="dialer">Opens the connection.</param>
/// <param name="node">The holder.</param>
/// <param name="rail">The addresses it goes between; null: what the dialer finds best.</param>
internal sealed unsafe class TcpWorker(PeerDialer dialer, NodeRecord node, RailPair? rail = null) : IJobWorker<TcpJob>
{
    private readonly Lock _gate = new();
    private BlockingSocket? _socket;
    private ulong _lastId;
    private bool _cut;

    /// <inheritdoc/>
    public bool TryPrepare(CancellationToken closing)
    {
        if (_socket is not null)
        {
            if (_socket.IsQuiet())
                return true;
            Close();
        }

        var dialled = rail is { } pair
            ? dialer.Dial(node, Lane.Data, pair.From, pair.To, closing)
            : dialer.Dial(node, Lane.Data, localOnly: false, closing);
        if (!dialled.Succeeded)
            return false;
        var socket = BlockingSocket.Take(dialled.Value);
        lock (_gate)
        {
            if (!_cut)
                _socket = socket;
        }

        if (_socket is null)
            socket?.Dispose();
        _lastId = 0;
        return _socket is not null;
    }

    /// <inheritdoc/>
    public bool TryRun(TcpJob job, bool lastTry)
    {
        var socket = _socket!;
        if (!job.TryBegin(socket))
            return true;
        if (!socket.TrySetPatience(job.Patience ?? BlockingSocket.NoProgress))
        {
            Close();
            job.Finish(TransferOutcome.Unreachable);
            return true;
        }

        bool pooled = _lastId > 0;
        var request = job.ToRequest(++_lastId);
        bool answered = false;
        var outcome = request.Operation == DataOperation.Read
            ? Read(socket, request, job, ref answered)
            : Write(socket, request, job, ref answered);
        // After a stop or a device's failure bytes may be on their way that nobody takes.
        if (outcome is not (TransferOutcome.Done or TransferOutcome.Stale))
            Close();
        if (outcome == TransferOutcome.Unreachable)
        {
            // A connection that lay idle may have died long ago: that says nothing about the holder of now.
            if (pooled && !answered && !lastTry && job.Patience is null)
                return false;
        }

        job.Finish(outcome);
        return true;
    }

    /// <inheritdoc/>
    public void Cut()
    {
        lock (_gate)
        {
            _cut = true;
            _socket?.Stop();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Close();

    private static TransferOutcome Read(BlockingSocket socket, in DataRequest request, TcpJob job,
        ref bool answered)
    {
        var memory = job.Memory;
        if (!SendHeader(socket, request)
            || !ReceiveHeader(socket, request.Id, out var answer, ref answered))
            return TransferOutcome.Unreachable;
        if (answer.Status == DataStatus.Stale)
            return TransferOutcome.Stale;
        if (answer.Status == DataStatus.Failed)
            return TransferOutcome.DeviceFailed;
        // The holder sends from under a pin: what has arrived whole is the object that was located.
        if (answer.Status != DataStatus.Done || answer.Length != memory.Length)
            return TransferOutcome.Unreachable;
        if (memory.Device is { } device)
            return DeviceMoves.Write(device, new SocketSource(socket, memory.Length, job.Sums), job.Limit.Left, job);
        byte* to = (byte*)memory.Address;
        long got = job.Sums is { } sums
            ? socket.Receive(to, memory.Length, sums)
            : socket.Receive(to, memory.Length);
        return got == memory.Length ? TransferOutcome.Done : TransferOutcome.Unreachable;
    }

    private static TransferOutcome Write(BlockingSocket socket, in DataRequest request, TcpJob job,
        ref bool answered)
    {
        var memory = job.Memory;
        // A holder that refuses says so and closes, perhaps while we still send: its answer counts, not our failure.
        byte* from = (byte*)memory.Address;
        if (memory.Device is { } device)
        {
            var moved = SendHeader(socket, request)
                ? DeviceMoves.Read(device, new SocketSink(socket, memory.Length, null, job.Sums), job.Limit.Left, job)
                : TransferOutcome.Unreachable;
            if (moved is TransferOutcome.DeviceFailed or TransferOutcome.Late)
                return moved;
            return Answered(socket, request, moved == TransferOutcome.Done, ref answered);
        }

        bool sent = SendHeader(socket, request) && (job.Sums is { } sums
            ? socket.TrySend(from, memory.Length, sums)
            : socket.TrySend(from, memory.Length));
        return Answered(socket, request, sent, ref answered);
    }

    /// <summary>What the holder says of a write, of which all bytes were sent or not.</summary>
    private static TransferOutcome Answered(BlockingSocket socket, in DataRequest request, bool sent,
        ref bool answered)
    {
        if (!ReceiveHeader(socket, request.Id, out var answer, ref answered))
            return TransferOutcome.Unreachable;
        return answer.Status switch
        {
            DataStatus.Done when sent && answer.Length == request.Length => TransferOutcome.Done,
            DataStatus.Stale => TransferOutcome.Stale,
            DataStatus.Failed => TransferOutcome.DeviceFailed,
            _ => TransferOutcome.Unreachable,
        };
    }

    private static bool SendHeader(BlockingSocket socket, in DataRequest request)
    {
        byte* header = stackalloc byte[DataRequest.Bytes];
        request.Write(new Span<byte>(header, DataRequest.Bytes));
        return socket.TrySend(header, DataRequest.Bytes);
    }

    private static bool ReceiveHeader(BlockingSocket socket, ulong id, out DataAnswer answer, ref bool answered)
    {
        byte* header = stackalloc byte[DataAnswer.Bytes];
        long got = socket.Receive(header, DataAnswer.Bytes);
        answered = got > 0;
        answer = DataAnswer.Read(new ReadOnlySpan<byte>(header, DataAnswer.Bytes));
        return got == DataAnswer.Bytes && answer.Id == id;
    }

    private void Close()
    {
        BlockingSocket? socket;
        lock (_gate)
        {
            socket = _socket;
            _socket = null;
        }

        socket?.Dispose();
    }
}
