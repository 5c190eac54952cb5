// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// The raw loop that bulk transfers over tcp are compared with: one connection on loopback between two processes,
/// blocking calls, a request of 100 bytes, then the bytes one way, both sides rotating over memory.
/// </summary>
internal sealed class RawPeer : IDisposable
{
    private const int RequestBytes = 100;
    private readonly PeerProcess _process;
    private readonly Socket _socket;
    private readonly byte[] _request = new byte[RequestBytes];
    private readonly byte[] _answer = new byte[1];

    private RawPeer(PeerProcess process, Socket socket)
    {
        _process = process;
        _socket = socket;
    }

    /// <summary>Starts the other side and connects.</summary>
    internal static async Task<RawPeer> StartAsync()
    {
        var (process, line) = await PeerProcess.StartAsync(BenchPeers.Command, "raw");
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(IPEndPoint.Parse(line));
        return new RawPeer(process, socket);
    }

    /// <summary>Receives all of the memory in requests of <paramref name="size"/> bytes; GB/s.</summary>
    internal double Receive(NativeRange memory, int size) => Move(memory, size, send: false);

    /// <summary>Sends all of the memory in requests of <paramref name="size"/> bytes; GB/s.</summary>
    internal double Send(NativeRange memory, int size) => Move(memory, size, send: true);

    public void Dispose()
    {
        _socket.Dispose();
        _process.Dispose();
    }

    /// <summary>The other side: serves one connection and ends with it.</summary>
    internal static void Serve(Action<string> ready)
    {
        using var memory = new BenchMemory(MemoryBench.Rotation);
        MemoryBench.Fill(memory.Range);
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        ready(listener.LocalEndPoint!.ToString()!);
        using Socket socket = listener.Accept();
        socket.NoDelay = true;
        var request = new byte[RequestBytes];
        long at = 0;
        while (TryReceive(socket, request))
        {
            int size = BitConverter.ToInt32(request, 1);
            at = at + size <= memory.Range.Length ? at : 0;
            Span<byte> bytes = SpanOf(memory.Range, at, size);
            at += size;
            if (request[0] == 0)
                Send(socket, bytes);
            else if (TryReceive(socket, bytes))
                Send(socket, request.AsSpan(0, 1));
        }
    }

    private double Move(NativeRange memory, int size, bool send)
    {
        long start = Stopwatch.GetTimestamp();
        _request[0] = send ? (byte)1 : (byte)0;
        BitConverter.TryWriteBytes(_request.AsSpan(1), size);
        for (long at = 0; at + size <= memory.Length; at += size)
        {
            Send(_socket, _request);
            Span<byte> bytes = SpanOf(memory, at, size);
            if (send)
                Send(_socket, bytes);
            if (!TryReceive(_socket, send ? _answer : bytes))
                throw new IOException("the other side of the raw loop has ended");
        }

        return memory.Length / size * size / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    private static unsafe Span<byte> SpanOf(NativeRange memory, long at, int size) =>
        new((byte*)memory.Address + at, size);

    private static void Send(Socket socket, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
            bytes = bytes[socket.Send(bytes)..];
    }

    private static bool TryReceive(Socket socket, Span<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int received = socket.Receive(bytes);
            if (received == 0)
                return false;
            bytes = bytes[received..];
        }

        return true;
    }
}
