// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Control;

/// <summary>Accepts connections, shakes hands, and hands them to a channel or to the data lane.</summary>
internal sealed class PeerServer : IAsyncDisposable
{
    /// <summary>Most connections at one time.</summary>
    public const int MaxConnections = 4096;

    private static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan StuckSend = TimeSpan.FromSeconds(10);

    private readonly Func<Hello, Hello> _self;
    private readonly Handshake _handshake;
    private readonly IPeerHandler _handler;
    private readonly Action<IPeerConnection, Hello>? _dataLane;
    private readonly MeshRuntime _runtime;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<IPeerListener> _listeners = [];
    private readonly HashSet<PeerChannel> _channels = [];
    private int _connections;

    public PeerServer(Func<Hello, Hello> self, Handshake handshake, IPeerHandler handler,
        Action<IPeerConnection, Hello>? dataLane, MeshRuntime runtime)
    {
        _self = self;
        _handshake = handshake;
        _handler = handler;
        _dataLane = dataLane;
        _runtime = runtime;
        _log = runtime.Log.CreateLogger("mesh.server");
    }

    /// <summary>Connections refused or closed because they spoke no legal protocol.</summary>
    public long Refused { get; private set; }

    /// <summary>Starts to serve a listener; it is closed with the server.</summary>
    public void Serve(IPeerListener listener)
    {
        lock (_channels)
            _listeners.Add(listener);
        _ = _runtime.Start(() => AcceptLoopAsync(listener));
    }

    /// <summary>Cuts connections whose other side takes nothing for 10 s; called about once a second.</summary>
    public void CutStuck()
    {
        PeerChannel[] channels;
        lock (_channels)
            channels = [.. _channels];
        foreach (var channel in channels)
        {
            long started = channel.SendStarted;
            if (started != 0 && _runtime.Time.GetElapsedTime(started) > StuckSend)
                channel.Abort();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        IPeerListener[] listeners;
        PeerChannel[] channels;
        lock (_channels)
        {
            listeners = [.. _listeners];
            channels = [.. _channels];
            _listeners.Clear();
        }

        _stop.Cancel();
        foreach (var listener in listeners)
            await listener.DisposeAsync();
        foreach (var channel in channels)
            channel.Abort();
    }

    private async Task AcceptLoopAsync(IPeerListener listener)
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                var connection = await listener.AcceptAsync(_stop.Token);
                if (_stop.IsCancellationRequested)
                {
                    connection.Abort();
                    return;
                }

                if (Interlocked.Increment(ref _connections) > MaxConnections)
                {
                    Interlocked.Decrement(ref _connections);
                    connection.Abort();
                    continue;
                }

                _ = _runtime.Start(() => ServeAsync(connection));
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
            {
                if (_stop.IsCancellationRequested)
                    return;
                _log.LogWarning("accept_failed endpoint={Endpoint} reason={Reason}", listener.Endpoint, e.Message);
                await _runtime.Delay(TimeSpan.FromMilliseconds(100), CancellationToken.None);
            }
        }
    }

    private async Task ServeAsync(IPeerConnection connection)
    {
        var reader = new FrameReader(connection);
        PeerChannel? channel = null;
        try
        {
            using var timeout = new CancellationTokenSource(HandshakeTimeout, _runtime.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
            var hello = await _handshake.AcceptAsync(connection, reader, _self, either.Token);
            if (!hello.Succeeded)
            {
                Refuse(connection, hello.Error!.Message);
                return;
            }

            if (hello.Value.Lane is Lane.Data or Lane.Shm)
            {
                if (_dataLane is null)
                    Refuse(connection, "there is no bulk lane here");
                else
                    _dataLane(connection, hello.Value);
                return;
            }

            channel = new PeerChannel(connection, reader, hello.Value, _handler, _runtime);
            lock (_channels)
                _channels.Add(channel);
            channel.Start();
            if (_stop.IsCancellationRequested)
                channel.Abort();
            await channel.Closed;
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException
            or WireException)
        {
            Refuse(connection, e.Message);
        }
        finally
        {
            Interlocked.Decrement(ref _connections);
            if (channel is null)
            {
                reader.Dispose();
            }
            else
            {
                lock (_channels)
                    _channels.Remove(channel);
            }
        }
    }

    private void Refuse(IPeerConnection connection, string reason)
    {
        Refused++;
        _log.LogDebug("handshake_refused peer={Peer} reason={Reason}", connection.RemoteEndpoint, reason);
        connection.Abort();
    }
}
