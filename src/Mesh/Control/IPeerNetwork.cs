// SPDX-License-Identifier: Apache-2.0
namespace Mooncake.Mesh.Control;

/// <summary>
/// How a peer reaches and is reached by others. The real one is sockets; a simulation brings its own.
/// </summary>
public interface IPeerNetwork
{
    /// <summary>Opens a connection to "host:port" or "unix:/path".</summary>
    /// <exception cref="PeerNetworkException">Refused, unreachable, or cancelled by the deadline.</exception>
    Task<IPeerConnection> ConnectAsync(string endpoint, CancellationToken cancel);

    /// <summary>Starts to accept connections at "host:port" (port 0: any free port) or "unix:/path".</summary>
    /// <exception cref="PeerNetworkException">The address is not ours or is in use.</exception>
    IPeerListener Listen(string endpoint);
}

/// <summary>An open listening port.</summary>
public interface IPeerListener : IAsyncDisposable
{
    /// <summary>The endpoint with the port really in use.</summary>
    string Endpoint { get; }

    /// <summary>The next connection.</summary>
    Task<IPeerConnection> AcceptAsync(CancellationToken cancel);
}

/// <summary>
/// One connection: an ordered stream of bytes in each direction. One reader and one writer at a time.
/// </summary>
public interface IPeerConnection : IAsyncDisposable
{
    /// <summary>The other side, for logs.</summary>
    string RemoteEndpoint { get; }

    /// <summary>Sends all of <paramref name="bytes"/>.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel);

    /// <summary>Receives at least one byte; 0 when the other side has closed.</summary>
    ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel);

    /// <summary>
    /// Says that nothing comes on it but answers: while none is awaited, nobody need be waiting for input.
    /// </summary>
    /// <param name="awaitsAnswer">Whether one is; never waits.</param>
    void BringsAnswersAlone(Func<bool> awaitsAnswer)
    {
    }

    /// <summary>Closes at once; pending and later calls fail. Safe to call at any time, from any thread.</summary>
    void Abort();
}

/// <summary>A connection could not be made or has broken.</summary>
public sealed class PeerNetworkException(string message, Exception? inner = null) : IOException(message, inner);
