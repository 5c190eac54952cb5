// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>A connection to another engine, and what that one said of itself.</summary>
/// <param name="Socket">The connection.</param>
/// <param name="Hello">What it said.</param>
internal readonly record struct DialledEngine(BlockingSocket Socket, Hello Hello);

/// <summary>Opens connections to other engines. Thread-safe.</summary>
/// <param name="hello">Our hello.</param>
/// <param name="handshake">Opens a connection.</param>
/// <param name="runtime">Network and clock.</param>
/// <param name="timeout">How long a connection and its opening may take.</param>
internal sealed class EngineDialer(Hello hello, Handshake handshake, MeshRuntime runtime, TimeSpan timeout)
{
    /// <summary>Connects. Blocks the thread for at most the time-out.</summary>
    /// <param name="address">host:port.</param>
    /// <param name="incarnation">The process that is meant; 0: whichever answers.</param>
    /// <param name="cancel">Ends the wait.</param>
    /// <returns>The connection; Dns; Socket; RejectHandshake; Endpoint: another process answers.</returns>
    public TransferResult<DialledEngine> Dial(string address, ulong incarnation, CancellationToken cancel) =>
        TaskWait.ResultOf(runtime.Start(() => DialAsync(address, incarnation, cancel)));

    private async Task<TransferResult<DialledEngine>> DialAsync(string address, ulong incarnation,
        CancellationToken cancel)
    {
        IPeerConnection? connection = null;
        try
        {
            using var late = new CancellationTokenSource(timeout, runtime.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancel);
            connection = await runtime.Network.ConnectAsync(address, either.Token);
            using var reader = new FrameReader(connection);
            var answer = await handshake.OfferAsync(connection, reader, hello, either.Token);
            if (answer.Error is { } refused)
                return new TransferError(CodeOf(refused), $"{address}: {refused.Message}");
            if (incarnation != 0 && answer.Value.Incarnation != incarnation)
            {
                return new TransferError(TransferErrorCode.Endpoint,
                    $"{address} is another process than the one that was opened; open the segment again");
            }

            if (connection is not SocketConnection plain || BlockingSocket.Take(plain) is not { } socket)
                return new TransferError(TransferErrorCode.Socket, $"{address} closed the connection");
            connection = null;
            return new DialledEngine(socket, answer.Value);
        }
        catch (OperationCanceledException)
        {
            return new TransferError(TransferErrorCode.Socket,
                $"{address} did not answer in {timeout.TotalSeconds:0.###} s");
        }
        catch (WireException e)
        {
            return new TransferError(TransferErrorCode.RejectHandshake, $"{address} is no engine: {e.Message}");
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            bool dns = e.InnerException is SocketException { SocketErrorCode: SocketError.HostNotFound
                or SocketError.NoData or SocketError.TryAgain };
            return new TransferError(dns ? TransferErrorCode.Dns : TransferErrorCode.Socket,
                $"cannot reach {address}: {e.Message}");
        }
        finally
        {
            connection?.Abort();
        }
    }

    private static TransferErrorCode CodeOf(MeshError error) => error.Code switch
    {
        MeshErrorCode.Unavailable => TransferErrorCode.Socket,
        MeshErrorCode.Busy => TransferErrorCode.TooManyRequests,
        _ => TransferErrorCode.RejectHandshake,
    };
}
