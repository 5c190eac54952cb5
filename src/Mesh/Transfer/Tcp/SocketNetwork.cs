// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>Connections over tcp ("host:port", "[v6]:port") and Unix sockets ("unix:/path").</summary>
public sealed class SocketNetwork : IPeerNetwork
{
    /// <summary>Seconds of silence after which the other side's host is asked whether it is there.</summary>
    public const int KeepAliveSeconds = 30;

    /// <summary>Seconds between such questions, of which <see cref="KeepAliveTries"/> may stay unanswered.</summary>
    public const int KeepAlivePause = 10;

    /// <summary>Unanswered questions after which a connection is broken.</summary>
    public const int KeepAliveTries = 3;

    private const string UnixPrefix = "unix:";
    private const int Backlog = 512;
    private readonly PumpBudget _pumps = new();

    /// <summary>Threads that receive for connections of this network.</summary>
    internal PumpBudget Pumps => _pumps;

    /// <inheritdoc/>
    public Task<IPeerConnection> ConnectAsync(string endpoint, CancellationToken cancel) =>
        ConnectAsync(endpoint, null, cancel);

    /// <summary>Opens a connection that leaves by the network card with this address; null: by any.</summary>
    /// <exception cref="PeerNetworkException">Refused, unreachable, or no address of this host.</exception>
    internal async Task<IPeerConnection> ConnectAsync(string endpoint, IPAddress? from, CancellationToken cancel)
    {
        // A name may have several addresses, of which the peer listens on one.
        EndPoint[] targets;
        try
        {
            targets = await ResolveAsync(endpoint, cancel);
        }
        catch (ArgumentException e)
        {
            // Endpoints come out of other nodes' records: a socket path may be too long for this system.
            throw new PeerNetworkException($"'{endpoint}' is no endpoint: {e.Message}", e);
        }

        for (int i = 0; ; i++)
        {
            var socket = NewSocket(targets[i]);
            try
            {
                if (from is not null)
                    socket.Bind(new IPEndPoint(from, 0));
                await PlainConnect.RunAsync(socket, targets[i], cancel);
                if (targets[i] is IPEndPoint)
                    KeepAlive(socket);
                return new SocketConnection(socket, endpoint, _pumps);
            }
            catch (Exception e)
            {
                socket.Dispose();
                if (e is OperationCanceledException)
                    throw;
                if (i == targets.Length - 1)
                    throw new PeerNetworkException(e.Message, e);
            }
        }
    }

    /// <summary>Whether an address is one of this host, now.</summary>
    internal static bool IsHere(IPAddress address)
    {
        try
        {
            using var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            socket.Bind(new IPEndPoint(address, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public IPeerListener Listen(string endpoint)
    {
        Socket? socket = null;
        try
        {
            var local = Resolve(endpoint);
            socket = NewSocket(local);
            // Peers may be told an IPv4 address of this host: the wildcard means both.
            if (local is IPEndPoint { Address: var address } && address.Equals(IPAddress.IPv6Any))
                socket.DualMode = true;
            if (local is UnixDomainSocketEndPoint)
                UnixSocketFile.Bind(socket, endpoint[UnixPrefix.Length..]);
            else
                socket.Bind(local);
            socket.Listen(Backlog);
            return new SocketListener(socket, endpoint, _pumps);
        }
        catch (Exception e) when (e is SocketException or IOException or FormatException or UnauthorizedAccessException
            or ArgumentException)
        {
            socket?.Dispose();
            throw new PeerNetworkException($"cannot listen on {endpoint}: {e.Message}", e);
        }
    }

    /// <summary>A host that has vanished without a word must not hold a connection for good.</summary>
    internal static void KeepAlive(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepAlivePause);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepAliveTries);
    }

    private static Socket NewSocket(EndPoint endpoint)
    {
        if (endpoint is UnixDomainSocketEndPoint)
            return new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        return new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    }

    private static async ValueTask<EndPoint[]> ResolveAsync(string endpoint, CancellationToken cancel)
    {
        if (endpoint.StartsWith(UnixPrefix, StringComparison.Ordinal))
            return [new UnixDomainSocketEndPoint(endpoint[UnixPrefix.Length..])];
        if (IPEndPoint.TryParse(endpoint, out var literal))
            return [literal];
        var (host, port) = Split(endpoint);
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host, cancel);
            return Array.ConvertAll(addresses, address => (EndPoint)new IPEndPoint(address, port));
        }
        catch (SocketException e)
        {
            throw new PeerNetworkException($"cannot resolve {host}: {e.Message}", e);
        }
    }

    private static EndPoint Resolve(string endpoint)
    {
        if (endpoint.StartsWith(UnixPrefix, StringComparison.Ordinal))
            return new UnixDomainSocketEndPoint(endpoint[UnixPrefix.Length..]);
        if (IPEndPoint.TryParse(endpoint, out var literal))
            return literal;
        var (host, port) = Split(endpoint);
        return new IPEndPoint(Dns.GetHostAddresses(host)[0], port);
    }

    private static (string Host, int Port) Split(string endpoint)
    {
        int colon = endpoint.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(endpoint.AsSpan(colon + 1), out ushort port))
            throw new PeerNetworkException($"'{endpoint}' is no host:port");
        return (endpoint[..colon].Trim('[', ']'), port);
    }
}

/// <summary>A listening socket.</summary>
internal sealed class SocketListener : IPeerListener
{
    private readonly Socket _socket;
    private readonly PumpBudget _pumps;

    public SocketListener(Socket socket, string endpoint, PumpBudget pumps)
    {
        _socket = socket;
        _pumps = pumps;
        Endpoint = socket.LocalEndPoint is IPEndPoint local ? local.ToString() : endpoint;
    }

    /// <inheritdoc/>
    public string Endpoint { get; }

    /// <inheritdoc/>
    public async Task<IPeerConnection> AcceptAsync(CancellationToken cancel)
    {
        Socket? socket = null;
        try
        {
            socket = await _socket.AcceptAsync(cancel);
            if (socket.RemoteEndPoint is IPEndPoint)
            {
                socket.NoDelay = true;
                SocketNetwork.KeepAlive(socket);
            }

            return new SocketConnection(socket, socket.RemoteEndPoint?.ToString() ?? "", _pumps);
        }
        catch (SocketException e)
        {
            // Of the listener, or of a connection that was reset before it was accepted.
            socket?.Dispose();
            throw new PeerNetworkException(e.Message, e);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        if (Endpoint.StartsWith("unix:", StringComparison.Ordinal))
            File.Delete(Endpoint["unix:".Length..]);
        return ValueTask.CompletedTask;
    }
}
