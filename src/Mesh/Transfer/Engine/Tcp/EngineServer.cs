// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine.Tcp;

/// <summary>The target's side of an engine: a blocking thread for each connection. Thread-safe.</summary>
/// <param name="parts">What connections reach.</param>
/// <param name="runtime">Clock and log.</param>
internal sealed class EngineServer(ServedParts parts, MeshRuntime runtime) : IAsyncDisposable
{
    /// <summary>Most connections of peers at one time; each has a thread.</summary>
    public const int MostConnections = 4096;

    private const int StackBytes = 256 * 1024;

    /// <summary>Longer than a peer lets a connection idle, so that it is the peer who closes.</summary>
    private static readonly TimeSpan IdleLimit = TcpTransport.IdleLimit * 2;

    private readonly HashSet<ServedConnection> _open = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ILogger _log = runtime.Log.CreateLogger("mesh.engine");
    private readonly LogGate _garbageGate = new(runtime.Time);
    private readonly LogGate _refusedGate = new(runtime.Time);
    private readonly LogGate _fullGate = new(runtime.Time);
    private long _garbage;
    private long _refused;
    private bool _closed;

    /// <summary>Connections closed because they spoke no legal protocol.</summary>
    public long GarbageConnections => Volatile.Read(ref _garbage);

    /// <summary>Entries refused because their memory is not registered for peers.</summary>
    public long RefusedEntries => Volatile.Read(ref _refused);

    /// <summary>Connections open now.</summary>
    public int Connections
    {
        get
        {
            lock (_open)
                return _open.Count;
        }
    }

    /// <summary>Serves a connection whose handshake is done.</summary>
    public void Take(IPeerConnection connection, Hello hello)
    {
        if (hello.Lane != Lane.Engine || connection is not SocketConnection plain
            || BlockingSocket.Take(plain) is not { } socket)
        {
            connection.Abort();
            return;
        }

        var served = new ServedConnection(socket, parts);
        bool welcome;
        lock (_open)
        {
            welcome = !_closed && _open.Count < MostConnections;
            if (welcome)
                _open.Add(served);
        }

        if (welcome)
        {
            new Thread(Serve, StackBytes) { IsBackground = true, Name = "mesh-engine" }.Start(served);
            return;
        }

        if (_fullGate.TryPass(out long more))
        {
            _log.LogWarning("engine_connection_refused peer={Peer} limit={Limit} more={More}", socket.Remote,
                MostConnections, more);
        }

        served.Dispose();
    }

    /// <summary>Breaks the connections that use a range now.</summary>
    public void Break(RegisteredRegion region)
    {
        lock (_open)
        {
            foreach (var served in _open)
            {
                if (served.Uses(region))
                    served.Socket.Stop();
            }
        }
    }

    /// <summary>Cuts every connection and waits for the threads.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_open)
        {
            _closed = true;
            foreach (var served in _open)
                served.Socket.Stop();
            if (_open.Count == 0)
                _ended.TrySetResult();
        }

        await _ended.Task;
    }

    private void Serve(object? state)
    {
        var served = (ServedConnection)state!;
        served.Serve(IdleLimit);
        Report(served);
        served.Dispose();
        lock (_open)
        {
            _open.Remove(served);
            if (_closed && _open.Count == 0)
                _ended.TrySetResult();
        }
    }

    private void Report(ServedConnection served)
    {
        Interlocked.Add(ref _refused, served.Refusals);
        if (served.Refusals > 0 && _refusedGate.TryPass(out long more))
        {
            _log.LogWarning("transfers_refused peer={Peer} entries={Entries} reason=not_registered_here more={More}",
                served.Socket.Remote, served.Refusals, more);
        }

        if (!served.WasGarbage)
            return;
        Interlocked.Increment(ref _garbage);
        if (_garbageGate.TryPass(out more))
            _log.LogWarning("garbage_on_engine_lane peer={Peer} more={More}", served.Socket.Remote, more);
    }
}
