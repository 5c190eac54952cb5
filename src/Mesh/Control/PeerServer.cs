// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Control;

/// <summary>Accepts connections, shakes hands, and hands them to a channel or to the data lane.</summary>
internal sealed class PeerServer : IAsyncDisposable
{
    /// <summary>How long the opening of a connection may take.</summary>
    public static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(5);

    /// <summary>How long the other side may take nothing, or not go on with a frame it began.</summary>
    public static readonly TimeSpan NoProgress = TimeSpan.FromSeconds(10);

    /// <summary>Most connections that are told at one time why they are refused; more are just closed.</summary>
    private const int MaxRefusals = 64;

    private static readonly TimeSpan RefusalTimeout = TimeSpan.FromSeconds(1);

    private readonly Func<Hello, Hello> _self;
    private readonly Handshake _handshake;
    private readonly IPeerHandler? _handler;
    private readonly Action<IPeerConnection, Hello>? _dataLane;
    private readonly MeshRuntime _runtime;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<IPeerListener> _listeners = [];
    private readonly HashSet<PeerChannel> _channels = [];
    private readonly LogGate _refusedGate;
    private readonly LogGate _acceptGate;
    private int _refusals;
    private long _refused;
    private long _stuck;

    /// <param name="self">Our hello, in answer to another.</param>
    /// <param name="handshake">Opens connections.</param>
    /// <param name="handler">Answers the calls of channels; null: there are none.</param>
    /// <param name="dataLane">Takes over the connections of bulk lanes, and of those that nobody serves.</param>
    /// <param name="runtime">Clock, scheduler and log.</param>
    public PeerServer(Func<Hello, Hello> self, Handshake handshake, IPeerHandler? handler,
        Action<IPeerConnection, Hello>? dataLane, MeshRuntime runtime)
    {
        _self = self;
        _handshake = handshake;
        _handler = handler;
        _dataLane = dataLane;
        _runtime = runtime;
        _log = runtime.Log.CreateLogger("mesh.server");
        _refusedGate = new LogGate(runtime.Time);
        _acceptGate = new LogGate(runtime.Time);
    }

    /// <summary>Connections refused or closed because they spoke no legal protocol.</summary>
    public long Refused => Volatile.Read(ref _refused);

    /// <summary>Connections cut because the other side stood still within a frame or took nothing.</summary>
    public long Stuck => Volatile.Read(ref _stuck);

    /// <summary>Connections open now, and those refused for one of the limits.</summary>
    public ConnectionLimits Limits { get; } = new();

    /// <summary>Starts to serve a listener; it is closed with the server.</summary>
    public void Serve(IPeerListener listener)
    {
        lock (_channels)
            _listeners.Add(listener);
        _ = _runtime.Start(() => AcceptLoopAsync(listener));
    }

    /// <summary>
    /// Cuts connections whose other side takes nothing for 10 s, or does not go on with a frame it began; called
    /// several times a second.
    /// </summary>
    public void CutStuck()
    {
        PeerChannel[] channels;
        lock (_channels)
            channels = [.. _channels];
        foreach (var channel in channels)
        {
            if (!channel.IsStuck(NoProgress))
                continue;
            Interlocked.Increment(ref _stuck);
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

                Admit(connection);
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
            {
                if (_stop.IsCancellationRequested)
                    return;
                if (_acceptGate.TryPass(out long more))
                {
                    _log.LogWarning("accept_failed endpoint={Endpoint} reason={Reason} more={More}", listener.Endpoint,
                        e.Message, more);
                }

                await _runtime.Delay(TimeSpan.FromMilliseconds(100), CancellationToken.None);
            }
        }
    }

    private void Admit(IPeerConnection connection)
    {
        string address = ConnectionLimits.AddressOf(connection.RemoteEndpoint);
        if (Limits.Enter(address) is not { } full)
        {
            _ = _runtime.Start(() => ServeAsync(connection, address));
            return;
        }

        if (_refusedGate.TryPass(out long more))
        {
            _log.LogWarning("connection_over_limit peer={Peer} reason={Reason} more={More}", connection.RemoteEndpoint,
                full.Message, more);
        }

        if (Interlocked.Increment(ref _refusals) <= MaxRefusals)
        {
            _ = _runtime.Start(() => RefuseAsync(connection, full));
            return;
        }

        Interlocked.Decrement(ref _refusals);
        connection.Abort();
    }

    /// <summary>Says why; the hello is read first, or closing would reset the connection under the answer.</summary>
    private async Task RefuseAsync(IPeerConnection connection, MeshError why)
    {
        try
        {
            using var timeout = new CancellationTokenSource(RefusalTimeout, _runtime.Time);
            using var reader = new FrameReader(connection);
            await reader.ReadAsync(timeout.Token);
            await Handshake.RefuseAsync(connection, why, timeout.Token);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException
            or WireException)
        {
            _log.LogDebug("refusal_not_told peer={Peer} reason={Reason}", connection.RemoteEndpoint, e.Message);
        }
        finally
        {
            connection.Abort();
            Interlocked.Decrement(ref _refusals);
        }
    }

    private async Task ServeAsync(IPeerConnection connection, string address)
    {
        var reader = new FrameReader(connection);
        PeerChannel? channel = null;
        bool shaking = true;
        try
        {
            using var timeout = new CancellationTokenSource(HandshakeTimeout, _runtime.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
            var hello = await _handshake.AcceptAsync(connection, reader, _self, either.Token);
            shaking = false;
            Limits.HandshakeEnded(address);
            if (!hello.Succeeded)
            {
                Refuse(connection, hello.Error!.Message);
                return;
            }

            if (_handler is null || hello.Value.Lane is Lane.Data or Lane.Shm or Lane.Engine
                || !_handler.Serves(hello.Value.Lane))
            {
                if (_dataLane is null)
                    Refuse(connection, "there is no bulk lane here");
                else
                    _dataLane(connection, hello.Value);
                return;
            }

            channel = new PeerChannel(connection, reader, hello.Value, _handler, _runtime)
            {
                Version = Math.Min(_self(hello.Value).WireMax, hello.Value.WireMax),
            };
            lock (_channels)
                _channels.Add(channel);
            channel.Start();
            if (_stop.IsCancellationRequested)
                channel.Abort();
            await channel.Closed;
        }
        catch (Exception e)
        {
            // Whatever it is, the connection must not stay open with nobody to serve it.
            Refuse(connection, e.Message);
        }
        finally
        {
            if (shaking)
                Limits.HandshakeEnded(address);
            Limits.Leave(address);
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
        Interlocked.Increment(ref _refused);
        _log.LogDebug("handshake_refused peer={Peer} reason={Reason}", connection.RemoteEndpoint, reason);
        connection.Abort();
    }
}
