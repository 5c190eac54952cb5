// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Control;

public sealed class PeerChannelTests
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);

    private static readonly Hello Remote = new()
    {
        Cluster = "c",
        Lane = Lane.Client,
        NodeId = "peer",
        Incarnation = 1,
    };

    [Fact]
    public async Task Calls_are_answered_each_with_its_own_answer()
    {
        var (a, b) = MemoryPipe.Pair();
        var caller = Start(a, new Silent());
        Start(b, new Echo());
        var calls = Enumerable.Range(0, 500).Select(i => caller.CallAsync<AbandonRequest, Done>(
            new AbandonRequest((ulong)i), Long, CancellationToken.None)).ToList();
        for (int i = 0; i < calls.Count; i++)
            Assert.Equal(i, (await calls[i]).Value.Count);
        Assert.True(caller.IsOpen);
        caller.Abort();
    }

    [Fact]
    public async Task More_open_calls_than_the_limit_are_busy_and_the_others_go_on()
    {
        var (a, b) = MemoryPipe.Pair();
        var caller = Start(a, new Silent());
        var held = new Held();
        Start(b, held);
        var open = new List<Task<MeshResult<Done>>>();
        for (int i = 0; i < Wire.MaxOpenCalls; i++)
            open.Add(CallAsync(caller));
        var refused = await CallAsync(caller);
        Assert.Equal(MeshErrorCode.Busy, refused.Error?.Code);
        Assert.Contains($"{Wire.MaxOpenCalls}", refused.Error!.Message, StringComparison.Ordinal);
        await held.ReleaseAsync(Wire.MaxOpenCalls);
        foreach (var call in open)
            Assert.True((await call).Succeeded);
        var after = CallAsync(caller);
        await held.ReleaseAsync(1);
        Assert.True((await after).Succeeded);
    }

    [Fact]
    public async Task A_peer_that_opens_more_calls_than_the_limit_is_cut_off()
    {
        var (a, b) = MemoryPipe.Pair();
        var handler = new Held();
        var channel = Start(b, handler);
        for (int i = 0; i <= Wire.MaxOpenCalls; i++)
        {
            var frame = FrameBuffer.Of(MessageType.Abandon, (ulong)i, new AbandonRequest(1));
            await a.SendAsync(frame.Bytes, CancellationToken.None);
        }

        await channel.Closed;
        Assert.False(channel.IsOpen);
        Assert.Equal(1, handler.GarbageCount);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(int.MinValue)]
    [InlineData(Wire.MaxFrame + 1)]
    [InlineData(int.MaxValue)]
    public async Task A_length_outside_the_limit_closes_the_connection(int length)
    {
        var (a, b) = MemoryPipe.Pair();
        var handler = new Silent();
        var channel = Start(b, handler);
        var open = CallAsync(channel);
        byte[] header = new byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(header, length);
        await a.SendAsync(header, CancellationToken.None);
        await channel.Closed;
        Assert.True(b.Aborted);
        Assert.Equal(1, handler.GarbageCount);
        Assert.Equal(MeshErrorCode.Unavailable, (await open).Error?.Code);
        Assert.Equal(MeshErrorCode.Unavailable, (await CallAsync(channel)).Error?.Code);
    }

    [Fact]
    public async Task A_call_ends_with_its_time_its_caller_or_its_connection()
    {
        var (a, b) = MemoryPipe.Pair();
        var caller = Start(a, new Silent());
        Start(b, new Silent());
        var late = await caller.CallAsync<AbandonRequest, Done>(new AbandonRequest(1), TimeSpan.FromMilliseconds(20),
            CancellationToken.None);
        Assert.Equal(MeshErrorCode.DeadlineExceeded, late.Error?.Code);
        Assert.Contains("peer within 20 ms", late.Error!.Message, StringComparison.Ordinal);
        using var source = new CancellationTokenSource();
        var cancelled = caller.CallAsync<AbandonRequest, Done>(new AbandonRequest(1), Long, source.Token);
        await source.CancelAsync();
        Assert.Equal(MeshErrorCode.Cancelled, (await cancelled).Error?.Code);
        var broken = CallAsync(caller);
        b.Abort();
        Assert.Equal(MeshErrorCode.Unavailable, (await broken).Error?.Code);
        await caller.Closed;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Random_and_cut_frames_end_in_a_refusal_or_a_closed_connection(int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 250; round++)
        {
            var (a, b) = MemoryPipe.Pair();
            using var world = new Directory.OwnerWorld();
            var handler = new PeerHandler(new MeshRuntime { Network = null! }) { Owner = world.Owner };
            var channel = Start(b, handler);
            var open = CallAsync(channel);
            for (int i = 0; i < 20 && channel.IsOpen; i++)
                await TrySendAsync(a, FrameOf(random));
            a.Abort();
            await channel.Closed;
            var ended = await open;
            Assert.True(ended.Succeeded || ended.Error is not null);
        }
    }

    private static byte[] FrameOf(Random random)
    {
        var type = (MessageType)random.Next(0, 50);
        FrameBuffer frame = random.Next(4) switch
        {
            0 => FrameBuffer.Of(MessageType.Locate, 1, new LocateRequest([new MeshKey("k")], true)),
            1 => FrameBuffer.Of(MessageType.Publish, 2,
                new PublishRequest(new MeshKey("k"), Directory.OwnerWorld.Offer(1), 1, true)),
            2 => FrameBuffer.Of(MessageType.SlotPull, 3,
                new SlotPullRequest(default, random.Next(-100, 100), new SlotSet(new byte[random.Next(20)]))),
            _ => FrameBuffer.Of(type, (ulong)random.Next(3), new Done(random.Next())),
        };
        byte[] bytes = frame.Bytes.ToArray();
        switch (random.Next(4))
        {
            case 0:
                random.NextBytes(bytes.AsSpan(4));
                break;
            case 1:
                bytes[random.Next(4, bytes.Length)] = (byte)random.Next(256);
                break;
            case 2:
                bytes = bytes[..random.Next(5, bytes.Length + 1)];
                BinaryPrimitives.WriteInt32LittleEndian(bytes, bytes.Length - 4);
                break;
        }

        return bytes;
    }

    private static async Task TrySendAsync(MemoryPipe pipe, byte[] bytes)
    {
        try
        {
            await pipe.SendAsync(bytes, CancellationToken.None);
        }
        catch (PeerNetworkException)
        {
            Assert.False(pipe.Aborted);
        }
    }

    private static Task<MeshResult<Done>> CallAsync(PeerChannel channel) =>
        channel.CallAsync<AbandonRequest, Done>(new AbandonRequest(1), Long, CancellationToken.None);

    private static PeerChannel Start(MemoryPipe pipe, IPeerHandler handler)
    {
        var channel = new PeerChannel(pipe, new FrameReader(pipe), Remote, handler,
            new MeshRuntime { Network = null! });
        channel.Start();
        return channel;
    }

    /// <summary>Answers nothing.</summary>
    private class Silent : IPeerHandler
    {
        public FrameBudget Budget { get; } = new();

        private int _garbage;

        public int GarbageCount => Volatile.Read(ref _garbage);

        public virtual void Handle(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
            ref MessagePackReader reader)
        {
        }

        public void Heard(PeerChannel channel)
        {
        }

        public void Garbage(PeerChannel channel, string reason) => Interlocked.Increment(ref _garbage);
    }

    private sealed class Echo : Silent
    {
        public override void Handle(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
            ref MessagePackReader reader) =>
            channel.Answer(id, new Done((int)AbandonRequest.Read(ref reader).ReservationId));
    }

    /// <summary>Answers when told.</summary>
    private sealed class Held : Silent
    {
        private readonly System.Threading.Channels.Channel<(PeerChannel Channel, ulong Id)> _calls =
            System.Threading.Channels.Channel.CreateUnbounded<(PeerChannel, ulong)>();

        public override void Handle(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
            ref MessagePackReader reader) => _calls.Writer.TryWrite((channel, id));

        public async Task ReleaseAsync(int count)
        {
            for (int i = 0; i < count; i++)
            {
                var (channel, id) = await _calls.Reader.ReadAsync();
                channel.Answer(id, new Done(1));
            }
        }
    }
}
