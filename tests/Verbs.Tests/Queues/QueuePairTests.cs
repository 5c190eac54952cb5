// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Interop;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Verbs.Tests.Queues;

public sealed class QueuePairTests
{
    private const int NoMemory = 12, InputOutput = 5;

    [Theory]
    [InlineData(0, 0)]
    [InlineData(64, 64)]
    [InlineData(200, 50)]
    [InlineData(1 << 20, 64)]
    public void Inline_bytes_are_halved_until_the_device_takes_them(int wanted, int given)
    {
        using var rig = new Rig(inlineBytes: wanted);
        Assert.Equal(given, rig.Pair.InlineBytes);
        Assert.Equal((17u, 129, 4), (rig.Pair.Number, rig.Pair.SendDepth, rig.Pair.MaxPieces));
    }

    [Fact]
    public void A_device_without_inline_gives_none()
    {
        using var rig = new Rig("MAX_INLINE=0", inlineBytes: 64);
        Assert.Equal(0, rig.Pair.InlineBytes);
    }

    [Fact]
    public void Requests_arrive_in_order_in_chains()
    {
        using var rig = new Rig();
        WorkRequest[] requests = Requests(QueuePair.ChainLength * 2 + 3);
        Assert.Equal(requests.Length, rig.Pair.Post(requests, out int errno));
        Assert.Equal(0, errno);
        List<PostedRequest> posted = rig.Verbs.Posted;
        Assert.Equal(requests.Select(request => request.WorkId), posted.Select(request => request.WorkId));
        Assert.Equal(
            requests.Select((_, i) => (uint)(i / QueuePair.ChainLength + 1)), posted.Select(request => request.Chain));
        Assert.All(posted, request => Assert.Equal(1u, request.Pieces));
        Assert.Equal(requests.Select(request => request.Local.Address), posted.Select(request => request.Address));
        Assert.Equal(requests.Select(request => request.RemoteAddress), posted.Select(r => r.RemoteAddress));
        Assert.Equal(requests.Select(request => (uint)request.Kind), posted.Select(request => request.Kind));
        Assert.Equal(requests.Select(request => (uint)request.Flags), posted.Select(request => request.Flags));
    }

    [Fact]
    public void Pieces_are_found_where_the_request_says()
    {
        using var rig = new Rig();
        LocalPiece[] pieces = [new(100, 1, 7), new(200, 2, 7), new(300, 3, 7)];
        var request = new WorkRequest { FirstPiece = 1, PieceCount = 2 };
        Assert.Equal(1, rig.Pair.Post([request], pieces, out _));
        PostedRequest posted = Assert.Single(rig.Verbs.Posted);
        Assert.Equal((200ul, 2u), (posted.Address, posted.Pieces));
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(3, 1)]
    [InlineData(-1, 1)]
    [InlineData(1, -1)]
    [InlineData(int.MaxValue, int.MaxValue)]
    public void Pieces_that_were_not_given_are_the_callers_mistake(int first, int count)
    {
        using var rig = new Rig();
        LocalPiece[] pieces = [new(100, 1, 7), new(200, 2, 7)];
        WorkRequest[] requests =
            [new() { PieceCount = 1 }, new() { FirstPiece = first, PieceCount = count }];
        Assert.Throws<ArgumentException>(() => rig.Pair.Post(requests, pieces, out _));
        Assert.Empty(rig.Verbs.Posted);
    }

    [Fact]
    public void A_piece_of_no_bytes_is_the_callers_mistake() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new LocalPiece(100, 0, 7));

    [Theory]
    [InlineData(10)]
    [InlineData(64)]
    [InlineData(70)]
    public void A_full_queue_says_how_many_it_took(int room)
    {
        using var rig = new Rig($"ROOM={room}");
        Assert.Equal(room, rig.Pair.Post(Requests(100), out int errno));
        Assert.Equal(NoMemory, errno);
        Assert.Equal(room, rig.Verbs.Posted.Count);
    }

    [Fact]
    public void Requests_that_the_device_was_not_told_of_are_outstanding_all_the_same()
    {
        using var rig = new Rig("DEAF");
        Assert.Equal(QueuePair.ChainLength, rig.Pair.Post(Requests(100), out int errno));
        Assert.Equal(InputOutput, errno);
    }

    [Fact]
    public void A_broken_completion_queue_is_an_error()
    {
        using var rig = new Rig("POLL=-2");
        Assert.Throws<VerbsException>(() => rig.Completions.Poll(new WorkCompletion[1]));
    }

    [Fact]
    public void A_completion_reads_as_a_line_of_a_log()
    {
        var native = new ibv_wc { wr_id = 5, qp_num = 17, vendor_err = 0x8a };
        Assert.Equal("work 5 of queue pair 17: success", new WorkCompletion(native).ToString());
        native.status = ibv_wc_status.IBV_WC_RETRY_EXC_ERR;
        Assert.Equal(
            "work 5 of queue pair 17: RetriesExceeded (12), vendor error 8a", new WorkCompletion(native).ToString());
    }

    [Fact]
    public void No_event_is_none()
    {
        using var rig = new Rig();
        rig.Completions.Arm();
        Assert.Equal(0, rig.Completions.DrainEvents());
        Assert.False(rig.Device.TryGetEvent(out VerbsEvent _));
    }

    [Fact]
    public void States_are_passed_on()
    {
        using var rig = new Rig();
        rig.Pair.Initialize(1, 0, MemoryAccess.RemoteRead);
        Assert.Equal(QueuePairState.Initialized, rig.Pair.State());
        rig.Pair.ReadyToReceive(
            new RemoteQueuePair(1, 2, new Gid(3), 4), new PathSettings(1024, true, 0, 64, 0, 0, 1, 12));
        Assert.Equal(QueuePairState.ReadyToReceive, rig.Pair.State());
        rig.Pair.ReadyToSend(2, timeout: 14, retryCount: QueuePair.MaxRetries, rnrRetry: 7, maxRdAtomic: 1);
        Assert.Equal(QueuePairState.ReadyToSend, rig.Pair.State());
        rig.Pair.Fail();
        Assert.Equal(QueuePairState.Error, rig.Pair.State());
    }

    [Fact]
    public void Endless_retries_and_endless_waits_are_the_callers_mistake()
    {
        using var rig = new Rig();
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Pair.ReadyToSend(0, 14, 7, 7, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => rig.Pair.ReadyToSend(0, 0, 6, 7, 1));
    }

    [Fact]
    public void A_disposed_one_is_known_as_such()
    {
        using var rig = new Rig();
        rig.Pair.Dispose();
        rig.Completions.Dispose();
        Assert.Throws<ObjectDisposedException>(() => rig.Pair.Post(Requests(1), out _));
        Assert.Throws<ObjectDisposedException>(() => rig.Pair.State());
        Assert.Throws<ObjectDisposedException>(() => rig.Completions.Poll(new WorkCompletion[1]));
        Assert.Throws<ObjectDisposedException>(() => rig.Device.CreateQueuePair(rig.Completions, new(1)));
        Assert.Equal("QCH", rig.Verbs.Ended);
    }

    private static WorkRequest[] Requests(int count)
    {
        var requests = new WorkRequest[count];
        for (int i = 0; i < count; i++)
        {
            requests[i] = new WorkRequest
            {
                WorkId = (ulong)i,
                Kind = i % 2 == 0 ? WorkKind.Read : WorkKind.Write,
                Flags = i % 3 == 0 ? WorkFlags.Signaled : WorkFlags.None,
                RemoteAddress = (ulong)(i * 1000),
                Local = new LocalPiece((ulong)(i + 1) * 100, 10, 7),
            };
        }

        return requests;
    }

    /// <summary>A queue pair on the double.</summary>
    private sealed class Rig : IDisposable
    {
        internal Rig(string definitions = "", int inlineBytes = 0)
        {
            Verbs = new VerbsDouble(definitions);
            Device = Verbs.Open();
            Completions = Device.CreateCompletionQueue(16);
            Pair = Device.CreateQueuePair(Completions, new QueuePairShape(128, 4, inlineBytes));
        }

        internal VerbsDouble Verbs { get; }

        internal VerbsDevice Device { get; }

        internal CompletionQueue Completions { get; }

        internal QueuePair Pair { get; }

        public void Dispose()
        {
            Pair.Dispose();
            Completions.Dispose();
            Device.Dispose();
            Assert.Equal(0, Device.Counts.Alive);
            Verbs.Dispose();
        }
    }
}
