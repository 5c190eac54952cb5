// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>A connection to an engine, with hands shaken, that sends what it is told.</summary>
internal sealed class HostileEnginePeer : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly IPeerConnection _connection;

    private HostileEnginePeer(IPeerConnection connection) => _connection = connection;

    public static async Task<HostileEnginePeer> OpenAsync(string address, Lane lane = Lane.Engine)
    {
        var runtime = new MeshRuntime { Network = new SocketNetwork() };
        var connection = await runtime.Network.ConnectAsync(address, CancellationToken.None);
        using var reader = new FrameReader(connection);
        var hello = new Hello { Cluster = "default", Lane = lane, NodeId = "x", Incarnation = 1 };
        var answer = await new Handshake(null, runtime).OfferAsync(connection, reader, hello, CancellationToken.None);
        Assert.True(answer.Succeeded, answer.Error?.ToString());
        return new HostileEnginePeer(connection);
    }

    /// <summary>A frame: its head, the entries, and more bytes.</summary>
    public static byte[] Frame(EngineOperation operation, int count, long bytes,
        (ulong Address, ulong Length)[] entries, byte[]? more = null)
    {
        byte[] frame = new byte[EngineRequest.LengthOf(entries.Length)];
        new EngineRequest(operation, count, 7, bytes).Write(frame);
        for (int i = 0; i < entries.Length; i++)
            EngineRequest.WriteEntry(frame, i, entries[i].Address, entries[i].Length);

        return more is null ? frame : [.. frame, .. more];
    }

    public async Task SendAsync(byte[] bytes)
    {
        try
        {
            await _connection.SendAsync(bytes, CancellationToken.None);
        }
        catch (IOException)
        {
            // The engine has hung up in the midst of it: what comes next says so.
        }
    }

    /// <summary>Receives so many bytes; fewer when the engine has hung up.</summary>
    public async Task<byte[]> ReceiveAsync(int length)
    {
        byte[] bytes = new byte[length];
        int received = 0;
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            while (received < length)
            {
                int got = await _connection.ReceiveAsync(bytes.AsMemory(received), limit.Token);
                if (got == 0)
                    break;
                received += got;
            }
        }
        catch (IOException)
        {
            // A reset is an end, too.
        }

        return bytes[..received];
    }

    public void Dispose() => _connection.Abort();

    /// <summary>Sends bytes to an endpoint without any handshake, and hangs up once it does.</summary>
    public static async Task ShoutAsync(string address, byte[] bytes)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPEndPoint.Parse(address));
        try
        {
            await socket.SendAsync(bytes);
            using var limit = new CancellationTokenSource(Limit);
            while (await socket.ReceiveAsync(new byte[4096], limit.Token) > 0)
            {
            }
        }
        catch (SocketException)
        {
            // Hung up on.
        }
    }
}
