// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Cluster.Hostile;

/// <summary>One connection of somebody who means no good, or who knows no better.</summary>
internal sealed class HostilePeer : IDisposable
{
    private static readonly MeshRuntime Runtime = new() { Network = new SocketNetwork() };
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private readonly FrameReader _reader;
    private ulong _pings = 1UL << 40;

    private HostilePeer(SocketConnection connection)
    {
        Connection = connection;
        _reader = new FrameReader(connection);
    }

    public SocketConnection Connection { get; }

    public Socket Socket => Connection.Socket;

    /// <summary>Connects and says nothing.</summary>
    public static async Task<HostilePeer> ConnectAsync(string endpoint)
    {
        using var limit = new CancellationTokenSource(Limit);
        return new HostilePeer((SocketConnection)await Runtime.Network.ConnectAsync(endpoint, limit.Token));
    }

    /// <summary>Connects and shakes hands; the error when it is refused.</summary>
    public static async Task<MeshResult<HostilePeer>> OpenAsync(string endpoint, Lane lane, ClusterSecret? secret)
    {
        var peer = await ConnectAsync(endpoint);
        using var limit = new CancellationTokenSource(Limit);
        var hello = await new Handshake(secret, Runtime).OfferAsync(peer.Connection, peer._reader, new Hello
        {
            Cluster = ServeMesh.Cluster,
            Lane = lane,
            NodeId = lane == Lane.Owner ? "stranger" : "",
            Incarnation = lane == Lane.Owner ? 1UL : 0,
            BootId = HostIdentity.BootId,
        }, limit.Token);
        if (hello.Succeeded)
        {
            if (lane is Lane.Client or Lane.Owner)
                peer._reader.Open();
            return peer;
        }

        peer.Dispose();
        return hello.Error!;
    }

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        using var limit = new CancellationTokenSource(Limit);
        await Connection.SendAsync(bytes, limit.Token);
    }

    /// <summary>
    /// Sends bytes and a ping after them, and waits for the ping's answer or for the end: either way they have been
    /// looked at.
    /// </summary>
    /// <returns>Whether the connection is still open.</returns>
    public async Task<bool> TryFeedAsync(byte[] bytes)
    {
        ulong id = ++_pings;
        var ping = FrameBuffer.Of(MessageType.Ping, id, new PingRequest(default));
        byte[] both = [.. bytes, .. ping.Bytes.Span];
        ping.Return();
        try
        {
            await SendAsync(both);
            while (await FrameAsync() is { IsEmpty: false } frame)
            {
                if (IdOf(frame) == id)
                    return true;
            }
        }
        catch (IOException)
        {
            // Closed with bytes of ours unread: a reset.
        }

        return false;
    }

    /// <summary>The next frame's body; empty at the end.</summary>
    public async Task<ReadOnlyMemory<byte>> FrameAsync()
    {
        using var limit = new CancellationTokenSource(Limit);
        return await _reader.ReadAsync(limit.Token);
    }

    /// <summary>Fills the buffer; false when the other side closed first.</summary>
    public async Task<bool> TryReceiveAsync(Memory<byte> buffer)
    {
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            for (int at = 0; at < buffer.Length;)
            {
                int got = await Connection.ReceiveAsync(buffer[at..], limit.Token);
                if (got == 0)
                    return false;
                at += got;
            }

            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Waits until the other side has closed, whatever it still sends.</summary>
    public async Task ClosedAsync()
    {
        byte[] scrap = new byte[4096];
        while (await TryReceiveAsync(scrap.AsMemory(0, 1)))
        {
        }
    }

    public void Dispose() => Connection.Abort();

    private static ulong IdOf(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        Wire.Enter(ref reader, 3);
        reader.Skip();
        return reader.ReadUInt64();
    }
}
