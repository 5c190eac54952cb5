// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

public sealed class TcpTransportTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stop_in_mid_transfer_ends_it_and_what_comes_later_goes_nowhere(bool cancels)
    {
        await using var holder = new FakeHolder();
        await using var transport = holder.Transport();
        using var destination = new GuardedMemory(1 << 20);
        using var stop = new CancellationTokenSource();
        var limit = cancels ? Long : TimeSpan.FromMilliseconds(300);
        var reading = transport.ReadAsync(holder.Read(1 << 20), destination.Range, limit, stop.Token);
        var connection = await holder.AcceptAsync();
        await FakeHolder.AnswerAsync(connection, await FakeHolder.RequestAsync(connection), 1 << 19);
        while (Volatile.Read(ref destination.Bytes[(1 << 19) - 1]) != 9)
            await Task.Yield();
        Assert.False(reading.IsCompleted && cancels);
        if (cancels)
            await stop.CancelAsync();
        Assert.Equal(TransferOutcome.Late, await reading);
        destination.Bytes.Fill(0xEE);
        try
        {
            await connection.SendAsync(new byte[1 << 19], Cancel);
            await connection.ReceiveAsync(new byte[1], Cancel);
        }
        catch (PeerNetworkException e)
        {
            Assert.NotEmpty(e.Message);
        }

        Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)0xEE));
        destination.AssertGuards();
    }

    [Fact]
    public async Task A_holder_that_dies_in_mid_transfer_is_unreachable()
    {
        await using var holder = new FakeHolder();
        await using var transport = holder.Transport();
        using var destination = new GuardedMemory(1 << 20);
        var reading = transport.ReadAsync(holder.Read(1 << 20), destination.Range, Long, Cancel);
        var connection = await holder.AcceptAsync();
        await FakeHolder.AnswerAsync(connection, await FakeHolder.RequestAsync(connection), 1 << 19);
        connection.Abort();
        Assert.Equal(TransferOutcome.Unreachable, await reading);
    }

    /// <summary>A lost machine refuses nothing: it accepts no connection, or is silent, or stops midway.</summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(true, 1 << 19)]
    public async Task A_holder_that_keeps_silent_is_left_when_the_patience_of_the_read_ends(bool accepts, int bytes)
    {
        await using var holder = new FakeHolder();
        await using var transport = holder.Transport();
        using var destination = new GuardedMemory(1 << 20);
        var read = holder.Read(1 << 20) with { Patience = TimeSpan.FromMilliseconds(200) };
        long start = TimeProvider.System.GetTimestamp();
        var reading = transport.ReadAsync(read, destination.Range, Long, Cancel);
        if (accepts)
        {
            var connection = await holder.AcceptAsync();
            var request = await FakeHolder.RequestAsync(connection);
            if (bytes > 0)
                await FakeHolder.AnswerAsync(connection, request, bytes);
        }

        Assert.Equal(TransferOutcome.Unreachable, await reading);
        // Less than a connection that makes no progress may take, by far.
        Assert.InRange(TimeProvider.System.GetElapsedTime(start), TimeSpan.Zero, BlockingSocket.NoProgress / 2);
    }

    [Fact]
    public async Task A_pooled_connection_that_died_is_replaced_at_once()
    {
        await using var holder = new FakeHolder();
        await using var transport = holder.Transport();
        using var destination = new GuardedMemory(100);
        var first = transport.ReadAsync(holder.Read(100), destination.Range, Long, Cancel);
        var connection = await holder.AcceptAsync();
        await FakeHolder.AnswerAsync(connection, await FakeHolder.RequestAsync(connection), 100);
        Assert.Equal(TransferOutcome.Done, await first);

        // The request is taken, then the connection breaks before a byte of the answer: once more, on a fresh one.
        var second = transport.ReadAsync(holder.Read(100), destination.Range, Long, Cancel);
        await FakeHolder.RequestAsync(connection);
        connection.Abort();
        connection = await holder.AcceptAsync();
        await FakeHolder.AnswerAsync(connection, await FakeHolder.RequestAsync(connection), 100);
        Assert.Equal(TransferOutcome.Done, await second);

        // The same on the fresh connection of a first try is the holder's own fault.
        connection.Abort();
        var third = transport.ReadAsync(holder.Read(100), destination.Range, Long, Cancel);
        connection = await holder.AcceptAsync();
        await FakeHolder.RequestAsync(connection);
        connection.Abort();
        Assert.Equal(TransferOutcome.Unreachable, await third);
    }

    [Fact]
    public async Task Another_life_of_the_node_is_unreachable()
    {
        await using var world = await TransferWorld.StartAsync(1 << 20);
        await using var transport = new TcpTransport(world.Dialer());
        var held = world.Hold(new byte[10]);
        using var destination = new GuardedMemory(10);
        var read = world.ReadOf(held) with { Node = world.Record with { Incarnation = 5 } };
        Assert.Equal(TransferOutcome.Unreachable, await transport.ReadAsync(read, destination.Range, Long, Cancel));
    }

    [Fact]
    public async Task A_write_cut_in_the_middle_leaves_a_reservation_that_can_be_given_up()
    {
        await using var world = await TransferWorld.StartAsync(8 << 20);
        var dialled = world.Dialer().Dial(world.Record, Lane.Data, localOnly: false, Cancel);
        ulong id = world.Reserve(1 << 20);
        var reservation = world.Node.Holder.Book.BeginWrite(id)!;
        world.Node.Holder.Book.EndWrite(id);
        byte[] bytes = new byte[DataRequest.Bytes + 1000];
        bytes.AsSpan().Fill(0xAB);
        new DataRequest(DataOperation.Write, 0, 1, 0, id, 1 << 20).Write(bytes);
        await dialled.Value.SendAsync(bytes, Cancel);
        while (LastOf(reservation, 1000) != 0xAB)
            await Task.Yield();

        // Given up while the holder still receives: freed when the broken connection has ended the write.
        Assert.True(world.Node.Holder.Book.Abandon(id));
        Assert.True(world.Store.Usage.Filling > 0);
        dialled.Value.Abort();
        while (world.Store.Usage.Filling > 0)
            await Task.Yield();
    }

    [Fact]
    public async Task Garbage_ends_the_connection_and_is_counted()
    {
        await using var world = await TransferWorld.StartAsync(1 << 20);
        var dialled = world.Dialer().Dial(world.Record, Lane.Data, localOnly: false, Cancel);
        byte[] garbage = new byte[DataRequest.Bytes];
        garbage.AsSpan().Fill(0xFF);
        await dialled.Value.SendAsync(garbage, Cancel);
        Assert.Equal(0, await dialled.Value.ReceiveAsync(garbage, Cancel));
        Assert.Equal(1, world.Node.Status().Counters["garbage_data_connections"]);
        dialled.Value.Abort();
    }

    private static unsafe byte LastOf(Reservation reservation, int count) =>
        Volatile.Read(ref HostBytes.Of(reservation.BytesOf(0))[count - 1]);
}
