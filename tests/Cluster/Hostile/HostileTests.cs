// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Shared;

namespace Mooncake.Mesh.Cluster.Hostile;

/// <summary>
/// A serving process under those who mean no good: wrong frames by the hundred thousand, slow ones, silent ones, too
/// many. It serves on, a client beside them notices nothing, and afterwards nothing of them is left.
/// </summary>
[Trait("needs", "etcd")]
public sealed class HostileTests
{
    /// <summary>Frames, over all ways in; more by the variable.</summary>
    private static readonly int Frames = Figures.Count("MESH_TEST_FUZZ", 100_000);

    [Fact]
    public async Task Wrong_frames_on_every_way_in_leave_the_node_as_it_was()
    {
        await using var node = await HostileNode.StartAsync();
        await using var client = await node.ConnectAsync();
        byte[] value = new byte[100_000];
        await client.PutAsync(new MeshKey("there"), value);
        var there = await LocateAsync(node, "there");
        node.StartClient();
        await RoundAsync(node, there, value.Length, Frames / 20, seed: 1);
        long memory = node.AnonymousBytes;
        int descriptors = node.Descriptors;
        long start = TimeProvider.System.GetTimestamp();
        await RoundAsync(node, there, value.Length, Frames, seed: 100);
        double took = TimeProvider.System.GetElapsedTime(start).TotalSeconds;
        int calls = await node.ClientEndsWellAsync();
        Figures.Print($"{Frames} wrong frames in {took:0.0} s; beside them {calls} calls, failed 0");
        Assert.True(calls > 20, "the client beside made no progress");
        Assert.Equal(value, await client.GetAsync(new MeshKey("there"), null, TestContext.Current.CancellationToken));
        var counters = (await node.Node.StatusAsync()).Counters;
        Assert.True(counters["garbage_connections"] > Frames / 50);
        Assert.True(counters["garbage_data_connections"] > 0);
        Assert.True(counters["refused_connections"] > 0);
        await client.DisposeAsync();
        await node.IsHealthyAsync(memory, descriptors, growth: 128 << 20);
    }

    [Fact]
    public async Task Reads_beyond_an_object_are_refused()
    {
        await using var node = await HostileNode.StartAsync();
        await using var client = await node.ConnectAsync();
        await client.PutAsync(new MeshKey("there"), new byte[5000]);
        var there = await LocateAsync(node, "there");
        using var peer = (await HostilePeer.OpenAsync(node.Node.Endpoint, Lane.Client, HostileNode.Secret)).Value;
        long[] skips = [0, 1, 4999, 5000, 5001, -1, long.MinValue, long.MaxValue, long.MaxValue - 4096];
        int[] lengths = [0, 1, 5000, 5001, Wire.MaxInline, Wire.MaxInline + 1, -1, int.MaxValue, int.MinValue];
        foreach (long skip in skips)
        {
            foreach (int length in lengths)
            {
                await peer.SendAsync(FrameBuffer.Of(MessageType.Read, 1,
                    new ReadRequest(there.SegmentId, there.Offset, there.Generation, skip, length)).Bytes);
                bool legal = skip >= 0 && length >= 0 && length <= Wire.MaxInline && skip <= 5000 - length;
                Assert.Equal(legal ? MessageType.Answer : MessageType.Failure, TypeOf(await peer.FrameAsync()));
            }
        }
    }

    [Theory]
    [InlineData("silent", false)]
    [InlineData("half a hello", false)]
    [InlineData("a hello byte by byte", false)]
    [InlineData("half a frame", true)]
    [InlineData("a frame byte by byte", true)]
    public async Task Who_does_not_go_on_is_closed(string how, bool afterHandshake)
    {
        await using var node = await HostileNode.StartAsync();
        node.StartClient();
        using var peer = afterHandshake
            ? (await HostilePeer.OpenAsync(node.Node.Endpoint, Lane.Client, HostileNode.Secret)).Value
            : await HostilePeer.ConnectAsync(node.Node.Endpoint);
        byte[] frame = afterHandshake
            ? WireCorpus.Requests.Single(s => s.Type == MessageType.Mirror).Frame(1)
            : WireCorpus.Others.Single(s => s.Type == MessageType.Hello).Frame(0);
        long start = TimeProvider.System.GetTimestamp();
        if (how.StartsWith("half", StringComparison.Ordinal))
            await peer.SendAsync(frame.AsMemory(0, frame.Length / 2));
        using var closed = new CancellationTokenSource();
        var slow = how.EndsWith("byte by byte", StringComparison.Ordinal)
            ? Task.Run(() => SlowlyAsync(peer, frame, closed.Token))
            : Task.CompletedTask;
        await peer.ClosedAsync();
        Figures.Print($"{how}: closed after {TimeProvider.System.GetElapsedTime(start).TotalSeconds:0.0} s");
        await closed.CancelAsync();
        await slow;
        await node.ClientEndsWellAsync();
        var counters = (await node.Node.StatusAsync()).Counters;
        Assert.Equal(afterHandshake ? 1 : 0, counters["stuck_connections"]);
        Assert.Equal(afterHandshake ? 0 : 1, counters["refused_connections"]);
    }

    [Fact]
    public async Task Half_a_data_request_is_closed()
    {
        await using var node = await HostileNode.StartAsync();
        using var peer = (await HostilePeer.OpenAsync(node.Node.Endpoint, Lane.Data, HostileNode.Secret)).Value;
        await peer.SendAsync(new byte[20]);
        await peer.ClosedAsync();
        await Eventually.AsyncTrue(async () => (await node.Node.StatusAsync()).Counters["data_connections"] == 0,
            TimeSpan.FromSeconds(10), "the data connection is still there");
    }

    [Fact]
    public async Task Thousands_of_connections_are_refused_by_their_limits_and_others_get_in()
    {
        await using var node = await HostileNode.StartAsync();
        long memory = node.AnonymousBytes;
        int descriptors = node.Descriptors;
        var held = new List<Socket>();
        try
        {
            // From two addresses that are not the client's: each may have only so many that say nothing.
            foreach (string from in new[] { "127.0.0.2", "127.0.0.3" })
            {
                for (int i = 0; i < 1100; i++)
                    held.Add(await FromAsync(from, node.Node.Endpoint));
            }

            Assert.Equal(2200, held.Count);
            node.StartClient();
            // Only some of those refused at one time are told why.
            MeshError? told = null;
            await Eventually.AsyncTrue(
                async () => (told = await RefusalAsync("127.0.0.2", node.Node.Endpoint)) is not null,
                TimeSpan.FromSeconds(4), "nobody is told why");
            Assert.Equal(MeshErrorCode.Busy, told!.Code);
            Assert.Contains($"{ConnectionLimits.MaxHandshakesPerAddress} handshakes in progress with 127.0.0.2",
                told.Message, StringComparison.Ordinal);
            var counters = (await node.Node.StatusAsync()).Counters;
            Assert.True(counters["connections_over_limit"] >= 2 * (1100 - ConnectionLimits.MaxHandshakesPerAddress));
            Assert.InRange(counters["connections"], 0, (2 * ConnectionLimits.MaxHandshakesPerAddress) + 8);
            Assert.True(await node.ClientEndsWellAsync() > 0);
        }
        finally
        {
            foreach (var socket in held)
                socket.Dispose();
        }

        await node.IsHealthyAsync(memory, descriptors, growth: 128 << 20);
    }

    [Fact]
    public async Task One_address_has_so_many_open_connections_and_not_more()
    {
        await using var node = await HostileNode.StartAsync();
        long memory = node.AnonymousBytes;
        int descriptors = node.Descriptors;
        var peers = new List<HostilePeer>();
        try
        {
            MeshError? refused = null;
            while (refused is null && peers.Count <= ConnectionLimits.MaxPerAddress)
            {
                var peer = await HostilePeer.OpenAsync(node.Node.Endpoint, Lane.Client, HostileNode.Secret);
                if (peer.Succeeded)
                    peers.Add(peer.Value);
                else
                    refused = peer.Error;
            }

            Assert.Equal(MeshErrorCode.Busy, refused?.Code);
            Assert.Contains($"{ConnectionLimits.MaxPerAddress} connections from 127.0.0.1", refused!.Message,
                StringComparison.Ordinal);

            // The Unix socket is another address.
            using var local = (await HostilePeer.OpenAsync(node.UnixEndpoint, Lane.Client, HostileNode.Secret)).Value;
            Assert.True(await local.TryFeedAsync([]));
            Figures.Print($"{peers.Count} open connections: {(node.AnonymousBytes - memory) >> 20} MiB");
        }
        finally
        {
            foreach (var peer in peers)
                peer.Dispose();
        }

        await node.IsHealthyAsync(memory, descriptors, growth: 512 << 20);
    }

    private static async Task RoundAsync(HostileNode node, Replica there, long size, int frames, int seed)
    {
        string tcp = node.Node.Endpoint, unix = node.UnixEndpoint;
        int share = frames / 10;
        await Task.WhenAll(
            Task.Run(() => new HostileFuzz(tcp, seed + 1).ControlAsync(Lane.Client, 2 * share)),
            Task.Run(() => new HostileFuzz(tcp, seed + 2).ControlAsync(Lane.Owner, 2 * share)),
            Task.Run(() => new HostileFuzz(unix, seed + 3).ControlAsync(Lane.Client, 2 * share)),
            Task.Run(() => new HostileFuzz(unix, seed + 4).ControlAsync(Lane.Owner, 2 * share)),
            Task.Run(() => new HostileFuzz(tcp, seed + 5).DataAsync(there, size, share)),
            Task.Run(() => new HostileFuzz(tcp, seed + 6).HandshakeAsync(share * 4 / 10)),
            Task.Run(() => new HostileFuzz(unix, seed + 7).HandshakeAsync(share * 2 / 10)),
            Task.Run(() => new HostileFuzz(unix, seed + 8).ShmAsync(share * 2 / 10)),
            Task.Run(() => new HostileFuzz(node.Node.Admin, seed + 9).AdminAsync(share * 2 / 10)));
    }

    private static async Task<Replica> LocateAsync(HostileNode node, string key)
    {
        using var peer = (await HostilePeer.OpenAsync(node.Node.Endpoint, Lane.Owner, HostileNode.Secret)).Value;
        await peer.SendAsync(FrameBuffer.Of(MessageType.Locate, 1,
            new LocateRequest([new MeshKey(key)], false)).Bytes);
        return ReplicaOf(await peer.FrameAsync());

        static Replica ReplicaOf(ReadOnlyMemory<byte> frame)
        {
            var reader = new MessagePackReader(frame);
            Wire.Enter(ref reader, 3);
            reader.Skip();
            reader.Skip();
            return LocateAnswer.Read(ref reader).RecordOf(0)!.Replicas[0];
        }
    }

    private static MessageType TypeOf(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        Wire.Enter(ref reader, 3);
        return (MessageType)reader.ReadInt32();
    }

    private static async Task SlowlyAsync(HostilePeer peer, byte[] frame, CancellationToken closed)
    {
        // Round and round: the frame that is sent is longer than the deadline, at this pace.
        byte[] one = new byte[1];
        BinaryPrimitives.WriteInt32LittleEndian(frame, Wire.MaxOpeningFrame);
        try
        {
            for (int i = 0; !closed.IsCancellationRequested; i = (i + 1) % frame.Length)
            {
                one[0] = frame[i];
                await peer.SendAsync(one);
                await Task.Delay(50, closed);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // Closed, as it should be.
        }
    }

    private static async Task<Socket> FromAsync(string address, string endpoint)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(address), 0));
        await socket.ConnectAsync(IPEndPoint.Parse(endpoint));
        return socket;
    }

    private static async Task<MeshError?> RefusalAsync(string address, string endpoint)
    {
        using var socket = await FromAsync(address, endpoint);
        var hello = WireCorpus.Others.Single(s => s.Type == MessageType.Hello);
        await socket.SendAsync(hello.Frame(0));
        byte[] bytes = new byte[4096];
        int length = 0;
        try
        {
            for (int got; (got = await socket.ReceiveAsync(bytes.AsMemory(length))) > 0;)
                length += got;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return null;
        }

        return length < 4 ? null : ErrorOf(bytes.AsMemory(4, length - 4));

        static MeshError ErrorOf(ReadOnlyMemory<byte> frame)
        {
            var reader = new MessagePackReader(frame);
            Wire.Enter(ref reader, 3);
            reader.Skip();
            reader.Skip();
            return Failure.Read(ref reader).ToError();
        }
    }
}
