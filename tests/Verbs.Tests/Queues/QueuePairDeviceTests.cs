// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Queues;

[Collection(RealDevices.Name)]
public sealed class QueuePairDeviceTests
{
    private const int NoMemory = 12;

    [Fact]
    public void A_write_arrives_and_nothing_beside_it_changes()
    {
        using var pair = new ConnectedPair();
        pair.Near.Buffer.FillPattern(1);
        pair.Far.Buffer.Bytes.Clear();
        pair.Near.Post(pair.Near.Request(WorkKind.Write, 7, 100, pair.Far, 5000, 9001));

        WorkCompletion done = Assert.Single(pair.Near.Await(1));
        Assert.Equal((7ul, WorkStatus.Success), (done.WorkId, done.Status));
        Assert.Equal(pair.Near.QueuePair.Number, done.QueuePairNumber);
        Span<byte> there = pair.Far.Buffer.Bytes;
        Assert.True(there.Slice(5000, 9001).SequenceEqual(pair.Near.Buffer.Bytes.Slice(100, 9001)));
        Assert.False(there[..5000].ContainsAnyExcept((byte)0));
        Assert.False(there[14001..].ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void A_read_fills_scattered_pieces_in_order()
    {
        using var pair = new ConnectedPair();
        pair.Far.Buffer.FillPattern(2);
        pair.Near.Buffer.Bytes.Clear();
        LocalPiece[] pieces =
            [pair.Near.Piece(40000, 1), pair.Near.Piece(10, 4097), pair.Near.Piece(20000, 3000), pair.Near.Piece(0, 5)];
        WorkRequest whole = pair.Near.Request(WorkKind.Read, 1, 0, pair.Far, 333, 1);
        WorkRequest tail = whole with { WorkId = 2, FirstPiece = 3, PieceCount = 1 };
        whole.PieceCount = 3;

        Assert.Equal(2, pair.Near.QueuePair.Post([whole, tail], pieces, out int errno));
        Assert.Equal(0, errno);
        WorkCompletion[] done = pair.Near.Await(2);
        Assert.All(done, one => Assert.Equal(WorkStatus.Success, one.Status));
        Assert.Equal((7098, 5), (done[0].Bytes, done[1].Bytes));
        ReadOnlySpan<byte> source = pair.Far.Buffer.Bytes[333..];
        ReadOnlySpan<byte> here = pair.Near.Buffer.Bytes;
        Assert.Equal(source[0], here[40000]);
        Assert.True(here.Slice(10, 4097).SequenceEqual(source.Slice(1, 4097)));
        Assert.True(here.Slice(20000, 3000).SequenceEqual(source.Slice(4098, 3000)));
        Assert.True(here[..5].SequenceEqual(source[..5]));
    }

    [Fact]
    public void A_write_gathers_scattered_pieces()
    {
        using var pair = new ConnectedPair();
        pair.Near.Buffer.FillPattern(3);
        WorkRequest request = pair.Near.Request(WorkKind.Write, 1, 0, pair.Far, 64, 1) with { PieceCount = 2 };
        Assert.Equal(1, pair.Near.QueuePair.Post(
            [request], [pair.Near.Piece(3000, 1500), pair.Near.Piece(100, 2500)], out _));
        Assert.Equal(WorkStatus.Success, pair.Near.Await(1)[0].Status);
        Span<byte> there = pair.Far.Buffer.Bytes[64..];
        Assert.True(there[..1500].SequenceEqual(pair.Near.Buffer.Bytes.Slice(3000, 1500)));
        Assert.True(there.Slice(1500, 2500).SequenceEqual(pair.Near.Buffer.Bytes.Slice(100, 2500)));
    }

    [Fact]
    public void An_inline_write_takes_its_bytes_at_once_and_needs_no_key()
    {
        using var pair = new ConnectedPair();
        Assert.InRange(pair.Near.QueuePair.InlineBytes, 8, int.MaxValue);
        pair.Near.Buffer.Bytes.Clear();
        BitConverter.TryWriteBytes(pair.Near.Buffer.Bytes, 0x0123456789abcdef);
        WorkRequest request = pair.Near.Request(
            WorkKind.Write, 1, 0, pair.Far, 512, 8, WorkFlags.Inline | WorkFlags.Signaled);
        request.Local = new LocalPiece(request.Local.Address, request.Local.Length, localKey: 0);
        pair.Near.Post(request);
        pair.Near.Buffer.Bytes.Clear();
        Assert.Equal(WorkStatus.Success, pair.Near.Await(1)[0].Status);
        Assert.Equal(0x0123456789abcdef, BitConverter.ToInt64(pair.Far.Buffer.Bytes[512..]));
    }

    [Fact]
    public void One_signaled_request_stands_for_those_before_it()
    {
        using var pair = new ConnectedPair();
        pair.Near.Buffer.FillPattern(4);
        var requests = new WorkRequest[10];
        for (int i = 0; i < requests.Length; i++)
        {
            WorkFlags flags = i == requests.Length - 1 ? WorkFlags.Signaled : WorkFlags.None;
            requests[i] = pair.Near.Request(WorkKind.Write, (ulong)i, i * 100, pair.Far, i * 100, 100, flags);
        }

        pair.Near.Post(requests);
        Assert.Equal(9ul, Assert.Single(pair.Near.Await(1)).WorkId);
        Assert.True(pair.Far.Buffer.Bytes[..1000].SequenceEqual(pair.Near.Buffer.Bytes[..1000]));
        Assert.Equal(0, pair.Near.Completions.Poll(new WorkCompletion[4]));
    }

    [Fact]
    public void A_full_queue_takes_what_fits_and_says_so()
    {
        using var pair = new ConnectedPair(shape: new QueuePairShape(SendDepth: 100));
        Assert.InRange(pair.Near.QueuePair.SendDepth, 100, 250);
        var requests = new WorkRequest[250];
        for (int i = 0; i < requests.Length; i++)
            requests[i] = pair.Near.Request(WorkKind.Read, (ulong)i, 0, pair.Far, 0, 1 << 15);
        int taken = pair.Near.QueuePair.Post(requests, out int errno);
        Assert.Equal(NoMemory, errno);
        Assert.InRange(taken, 100, requests.Length - 1);
        WorkCompletion[] done = pair.Near.Await(taken);
        Assert.Equal(Enumerable.Range(0, taken).Select(i => (ulong)i), done.Select(one => one.WorkId));
        pair.Near.Post(pair.Near.Request(WorkKind.Read, 1, 0, pair.Far, 0, 8));
        Assert.Equal(WorkStatus.Success, pair.Near.Await(1)[0].Status);
    }

    [Fact]
    public unsafe void A_sleeper_is_woken_once_per_arming()
    {
        using var pair = new ConnectedPair();
        CompletionQueue queue = pair.Near.Completions;
        var wait = new pollfd { fd = queue.ChannelDescriptor, events = LibC.POLLIN };
        Assert.Equal(0, queue.DrainEvents());
        for (int round = 0; round < 3; round++)
        {
            queue.Arm();
            Assert.Equal(0, LibC.poll(&wait, 1, 0));
            pair.Near.Post(pair.Near.Request(WorkKind.Write, 1, 0, pair.Far, 0, 64));
            Assert.Equal(1, LibC.poll(&wait, 1, 10_000));
            Assert.Equal(1, queue.DrainEvents());
            Assert.Equal(0, LibC.poll(&wait, 1, 0));
            pair.Near.Await(1);
        }
    }

    [Fact]
    public void Posting_and_polling_allocate_nothing()
    {
        using var pair = new ConnectedPair();
        var done = new WorkCompletion[8];
        WorkRequest[] requests =
        [
            pair.Near.Request(WorkKind.Write, 1, 0, pair.Far, 0, 64),
            pair.Near.Request(WorkKind.Read, 2, 64, pair.Far, 64, 64) with { PieceCount = 2 },
        ];
        LocalPiece[] pieces = [pair.Near.Piece(128, 32), pair.Near.Piece(256, 32)];
        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 50; i++)
                RoundTrip();
        }));

        void RoundTrip()
        {
            pair.Near.Completions.Arm();
            int taken = pair.Near.QueuePair.Post(requests, pieces, out _);
            while (taken > 0)
                taken -= pair.Near.Completions.Poll(done);
            pair.Near.Completions.DrainEvents();
        }
    }

    [Fact]
    public void A_device_that_takes_fewer_inline_bytes_still_gives_a_queue_pair()
    {
        using var end = new End(0, new QueuePairShape(SendDepth: 4, MaxPieces: 1, InlineBytes: 1 << 16), 4096);
        Assert.InRange(end.QueuePair.InlineBytes, 0, (1 << 16) - 1);
    }
}
