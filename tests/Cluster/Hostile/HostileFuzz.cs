// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Shared;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Cluster.Hostile;

/// <summary>
/// Streams of wrong frames, one kind for each way into a node. Every frame is answered or has its connection closed
/// before the next one is sent, so each has been looked at. A stream repeats from its seed.
/// </summary>
internal sealed class HostileFuzz(string endpoint, int seed)
{
    private readonly Mutator _mutator = new(seed);
    private readonly List<WireSample> _samples = [.. WireCorpus.Requests, .. WireCorpus.Requests, .. WireCorpus.Others];

    private Random Random => _mutator.Random;

    /// <summary>Frames on an open control connection.</summary>
    public async Task ControlAsync(Lane lane, int frames)
    {
        HostilePeer? peer = null;
        try
        {
            for (int sent = 0; sent < frames; sent++)
            {
                peer ??= (await HostilePeer.OpenAsync(endpoint, lane, HostileNode.Secret)).Value;
                byte[] frame = ControlFrame(out bool isCut);
                if (isCut)
                    await peer.SendAsync(frame);
                if (isCut || !await peer.TryFeedAsync(frame))
                {
                    peer.Dispose();
                    peer = null;
                }
            }
        }
        finally
        {
            peer?.Dispose();
        }
    }

    /// <summary>First frames, and the proofs after a first frame that is right.</summary>
    public async Task HandshakeAsync(int frames)
    {
        var hello = WireCorpus.Others.Single(s => s.Type == MessageType.Hello);
        var proof = WireCorpus.Others.Single(s => s.Type == MessageType.Proof);
        for (int sent = 0; sent < frames; sent++)
        {
            using var peer = await HostilePeer.ConnectAsync(endpoint);
            try
            {
                if (Random.Next(3) == 0)
                {
                    var good = new Hello
                    {
                        Cluster = ServeMesh.Cluster,
                        Lane = Lane.Client,
                        NodeId = "",
                        Incarnation = 0,
                        Authentication = new byte[Handshake.NonceBytes],
                    };
                    await peer.SendAsync(FrameBuffer.Of(MessageType.Hello, 0, good).Bytes);
                    await peer.FrameAsync();
                    await peer.SendAsync(Mutated(proof));
                }
                else
                {
                    await peer.SendAsync(Random.Next(4) == 0 ? _mutator.Noise(64) : Mutated(hello));
                }

                // What is not a whole frame would be waited for until the handshake's deadline.
                peer.Socket.Shutdown(SocketShutdown.Send);
                await peer.ClosedAsync();
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                // Closed in the middle of it: a reset.
            }
        }
    }

    /// <summary>Requests of the data lane, most of them for an extent that is really there.</summary>
    public async Task DataAsync(Replica there, long size, int frames)
    {
        HostilePeer? peer = null;
        for (int sent = 0; sent < frames; sent++)
        {
            peer ??= (await HostilePeer.OpenAsync(endpoint, Lane.Data, HostileNode.Secret)).Value;
            var request = DataFrame(there, size);
            byte[] header = new byte[DataRequest.Bytes];
            request.Write(header);
            if (!await IsAnsweredAsync(peer, header, request))
            {
                peer.Dispose();
                peer = null;
            }
        }

        peer?.Dispose();
    }

    /// <summary>Requests of the shared-memory lane, some with descriptors that nobody asked for.</summary>
    public async Task ShmAsync(int frames)
    {
        for (int sent = 0; sent < frames; sent++)
        {
            using var peer = (await HostilePeer.OpenAsync(endpoint, Lane.Shm, HostileNode.Secret)).Value;
            byte[] request = Random.Next(3) switch
            {
                0 => ShmFrame.Request(Random.Next(-2, 4)),
                1 => _mutator.Next(ShmFrame.Request(0)),
                _ => _mutator.Noise(64),
            };
            if (request.Length == 0)
                continue;
            int[] descriptors = new int[Random.Next(2) * Random.Next(1, 64)];
            Array.Fill(descriptors, (int)peer.Socket.SafeHandle.DangerousGetHandle());
            _ = DescriptorMessage.Send(peer.Socket, request, descriptors);
            peer.Socket.Shutdown(SocketShutdown.Send);
            await peer.ClosedAsync();
        }
    }

    /// <summary>Requests of the admin port.</summary>
    public async Task AdminAsync(int frames)
    {
        byte[] good = Encoding.ASCII.GetBytes("GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        byte[] long1 = Encoding.ASCII.GetBytes("GET /" + new string('a', 100_000) + " HTTP/1.1\r\n\r\n");
        byte[] post = Encoding.ASCII.GetBytes(
            "POST /status HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999\r\n\r\n" + new string('b', 5000));
        for (int sent = 0; sent < frames; sent++)
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPEndPoint.Parse(endpoint));
            try
            {
                await socket.SendAsync(Random.Next(8) switch
                {
                    0 => _mutator.Noise(2000),
                    1 => long1,
                    2 => post,
                    _ => _mutator.Next(good),
                });
                socket.Shutdown(SocketShutdown.Send);
                byte[] answer = new byte[4096];
                while (await socket.ReceiveAsync(answer) > 0)
                {
                }
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
            {
                // Closed before all of it was read.
            }
        }
    }

    private byte[] Mutated(WireSample sample)
    {
        byte[] body = _mutator.Next(sample.Frame(7).AsSpan(4));
        return Framed(body, body.Length);
    }

    private byte[] ControlFrame(out bool isCut)
    {
        isCut = false;
        var sample = _samples[Random.Next(_samples.Count)];
        switch (Random.Next(20))
        {
            case 0:
                int[] absurd = [0, -1, int.MinValue, int.MaxValue, Wire.MaxFrame + 1];
                return Framed(sample.Body, absurd[Random.Next(absurd.Length)]);
            case 1:
                isCut = true;
                byte[] frame = sample.Frame(1);
                return frame[..Random.Next(1, frame.Length)];
            case 2 or 3:
                byte[] noise = _mutator.Noise(300);
                return Framed(noise, noise.Length);
            case 4 or 5 or 6:
                return Mutated(sample);
            case 7:
                return sample.Frame((ulong)Random.Next(5));
            default:
                // Type and id as they are, so that the body is what is looked at.
                return (sample with { Body = _mutator.Next(sample.Body) }).Frame((ulong)Random.Next(5));
        }
    }

    private DataRequest DataFrame(Replica there, long size)
    {
        var good = new DataRequest(DataOperation.Read, there.SegmentId, (ulong)Random.Next(), there.Offset,
            there.Generation, size);
        long[] lengths = [0, 1, size, size + 1, size * 2, -1, long.MaxValue, long.MinValue];
        long[] offsets = [-4096, 0, there.Offset + 1, 1L << 40, long.MaxValue, long.MinValue];
        int[] segments = [-1, 1, int.MaxValue, int.MinValue];
        switch (Random.Next(8))
        {
            case 0:
                return good with { Length = lengths[Random.Next(lengths.Length)] };
            case 1:
                return good with { Offset = offsets[Random.Next(offsets.Length)] };
            case 2:
                return good with { SegmentId = segments[Random.Next(segments.Length)] };
            case 3:
                return good with { Token = (ulong)Random.NextInt64() };
            case 4:
                return good with { Operation = (DataOperation)Random.Next(-1, 5) };
            case 5:
                return good with { Operation = DataOperation.Write, Length = Random.Next(-1, 5000) };
            case 6:
                byte[] noise = new byte[DataRequest.Bytes];
                Random.NextBytes(noise);
                return DataRequest.Read(noise);
            default:
                return good;
        }
    }

    /// <summary>Whether the connection is still good for another request.</summary>
    private static async Task<bool> IsAnsweredAsync(HostilePeer peer, byte[] header, DataRequest request)
    {
        byte[] answer = new byte[DataAnswer.Bytes];
        try
        {
            await peer.SendAsync(header);
            if (!await peer.TryReceiveAsync(answer))
                return false;
        }
        catch (IOException)
        {
            return false;
        }

        var read = DataAnswer.Read(answer);
        if (request.Operation != DataOperation.Read)
            return false;
        if (read.Status != DataStatus.Done)
            return true;
        Assert.InRange(read.Length, 0, 1 << 20);
        return await peer.TryReceiveAsync(new byte[read.Length]);
    }

    private static byte[] Framed(ReadOnlySpan<byte> body, int length)
    {
        byte[] frame = new byte[4 + body.Length];
        BinaryPrimitives.WriteInt32LittleEndian(frame, length);
        body.CopyTo(frame.AsSpan(4));
        return frame;
    }
}
