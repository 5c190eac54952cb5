// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// The bare echo that latencies are compared with: one tcp connection on loopback between two processes,
/// SendAsync/ReceiveAsync on both sides, 100 bytes out, 4 KiB back.
/// </summary>
internal sealed class EchoPeer : IDisposable
{
    private const int OutBytes = 100;
    private const int BackBytes = 4096;
    private readonly PeerProcess _process;
    private readonly Socket _socket;
    private readonly byte[] _request = new byte[OutBytes];
    private readonly byte[] _answer = new byte[BackBytes];

    private EchoPeer(PeerProcess process, Socket socket)
    {
        _process = process;
        _socket = socket;
    }

    /// <summary>Starts the other side and connects.</summary>
    internal static async Task<EchoPeer> StartAsync()
    {
        var (process, line) = await PeerProcess.StartAsync(BenchPeers.Command, "echo");
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPEndPoint.Parse(line));
        return new EchoPeer(process, socket);
    }

    /// <summary>Mean time of one of <paramref name="count"/> echoes in a row, in microseconds.</summary>
    internal async Task<double> RunAsync(int count)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < count; i++)
        {
            await _socket.SendAsync(_request, SocketFlags.None);
            await ReceiveAsync(_socket, _answer);
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / count;
    }

    public void Dispose()
    {
        _socket.Dispose();
        _process.Dispose();
    }

    /// <summary>The other side: serves one connection and ends with it.</summary>
    internal static async Task ServeAsync(Action<string> ready)
    {
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        ready(listener.LocalEndPoint!.ToString()!);
        using Socket socket = await listener.AcceptAsync();
        socket.NoDelay = true;
        var request = new byte[OutBytes];
        var answer = new byte[BackBytes];
        while (await ReceiveAsync(socket, request))
            await socket.SendAsync(answer, SocketFlags.None);
    }

    private static async ValueTask<bool> ReceiveAsync(Socket socket, Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int received = await socket.ReceiveAsync(buffer, SocketFlags.None);
            if (received == 0)
                return false;
            buffer = buffer[received..];
        }

        return true;
    }
}
