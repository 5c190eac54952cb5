// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// The holder's side of shared memory: hands read-only descriptors of its segments and generation tables to processes
/// that may open its Unix socket, writable ones of its segments to those that may write, and keeps the connection open
/// as the sign that it lives. Thread-safe.
/// </summary>
internal sealed class ShmServer : IAsyncDisposable
{
    /// <summary>Most readers at one time.</summary>
    public const int MostConnections = 1024;

    private readonly HashSet<SocketConnection> _open = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ObjectStore _store;
    private readonly ClientProcesses _processes;
    private readonly ILogger _log;
    private bool _closed;

    public ShmServer(ObjectStore store, ClientProcesses processes, MeshRuntime runtime)
    {
        _store = store;
        _processes = processes;
        _log = runtime.Log.CreateLogger("mesh.shm");
    }

    /// <summary>Serves a connection whose handshake is done.</summary>
    public void Take(IPeerConnection connection)
    {
        // Over tcp the other end may be anywhere, and no descriptor can be passed.
        bool welcome = connection is SocketConnection { Socket.AddressFamily: AddressFamily.Unix };
        if (welcome)
        {
            lock (_open)
                welcome = !_closed && _open.Count < MostConnections && _open.Add((SocketConnection)connection);
        }

        if (welcome)
            _ = Task.Run(() => ServeAsync((SocketConnection)connection));
        else
            connection.Abort();
    }

    /// <summary>Cuts every connection.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_open)
        {
            _closed = true;
            foreach (var connection in _open)
                connection.Abort();
            if (_open.Count == 0)
                _ended.TrySetResult();
        }

        await _ended.Task;
    }

    private async Task ServeAsync(SocketConnection connection)
    {
        byte[] request = new byte[ShmFrame.RequestBytes];
        ClientProcess? process = null;
        try
        {
            process = _processes.Add(connection.Socket);
            // A request is one small write: it arrives whole, or it is not from us.
            while (await connection.ReceiveAsync(request, CancellationToken.None) == request.Length
                && TryServe(connection.Socket, request, process))
            {
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            _log.LogDebug("shm_reader_gone peer={Peer} reason={Reason}", connection.RemoteEndpoint, e.Message);
        }
        finally
        {
            connection.Abort();
            if (process is not null)
                _processes.Disconnected(process);
            lock (_open)
            {
                _open.Remove(connection);
                if (_closed && _open.Count == 0)
                    _ended.TrySetResult();
            }
        }
    }

    private bool TryServe(Socket socket, ReadOnlySpan<byte> request, ClientProcess? process)
    {
        if (!ShmFrame.TryReadRequest(request, out var what, out int first))
            return false;
        if (what is ShmRequest.Map or ShmRequest.MapDevices)
            return TryHandOver(socket, what, first, process);
        if (process is not null)
            _processes.End(process);
        return false;
    }

    private bool TryHandOver(Socket socket, ShmRequest what, int first, ClientProcess? process)
    {
        var segments = _store.Segments;
        if (first > segments.Count)
            return false;
        int count = Math.Min(segments.Count - first, ShmFrame.PageSegments);
        Span<byte> answer = stackalloc byte[ShmFrame.MostBytes];
        Span<int> descriptors = stackalloc int[DescriptorMessage.MostDescriptors];
        bool mayWrite = process is { MayWrite: true };
        ShmFrame.WriteHead(answer, new ShmHead(segments.Count, first, count, process?.Token ?? 0, mayWrite));
        int opened = 0;
        try
        {
            for (int i = 0; i < count; i++)
            {
                var segment = segments[first + i];
                if (segment.Memory.Device is { } device)
                {
                    // A reader who does not know of devices would take the table for the bytes.
                    if (what != ShmRequest.MapDevices
                        || !TryKeep(segment.Generations.Memory.OpenReadOnly(), descriptors, ref opened))
                        return false;
                    ShmFrame.WriteSegment(answer, what, i, EntryOf(segment, device));
                    continue;
                }

                var memory = segment.Memory.Host!;
                ShmFrame.WriteSegment(answer, what, i, new ShmEntry(memory.Length, segment.Generations.Memory.Length));
                if (!TryKeep(memory.OpenReadOnly(), descriptors, ref opened)
                    || !TryKeep(segment.Generations.Memory.OpenReadOnly(), descriptors, ref opened)
                    || (mayWrite && !TryKeep(memory.OpenWritable(), descriptors, ref opened)))
                    return false;
            }

            int errno = DescriptorMessage.Send(socket,
                answer[..(ShmFrame.HeaderBytes + (count * ShmFrame.EntryBytes(what)))], descriptors[..opened]);
            if (errno != 0)
                _log.LogWarning("shm_hand_over_failed errno={Errno} segments={Segments}", errno, count);
            return errno == 0;
        }
        finally
        {
            foreach (int fd in descriptors[..opened])
                _ = LibC.close(fd);
        }
    }

    private ShmEntry EntryOf(Segment segment, IDeviceBlock device)
    {
        var handle = device.Share();
        if (!handle.Succeeded)
        {
            _log.LogInformation("device_not_shared segment={Segment} reason={Reason}", segment.Id,
                handle.Error!.Message);
        }

        return new ShmEntry(segment.Length, segment.Generations.Memory.Length, device.Location,
            handle.Succeeded ? handle.Value : []);
    }

    private bool TryKeep(MeshResult<int> fd, Span<int> descriptors, ref int opened)
    {
        if (fd.Succeeded)
            descriptors[opened++] = fd.Value;
        else
            _log.LogWarning("shm_open_failed reason={Reason}", fd.Error!.Message);
        return fd.Succeeded;
    }
}
