// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Rails over real sockets: each loopback address is a network card.</summary>
public sealed class TcpRailTests
{
    private const int MiB = 1 << 20;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private static readonly string[] Theirs = ["127.0.0.2", "127.0.0.3"];
    private static readonly string[] Ours = ["127.0.0.4", "127.0.0.5"];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_node_announces_its_rails_and_both_carry_a_large_object()
    {
        await using var world = await WorldAsync();
        string port = world.Node.Endpoint.Split(':')[1];
        Assert.Equal([$"127.0.0.2:{port}", $"127.0.0.3:{port}"], world.Record.Rails);
        await using var transport = new TcpTransport(world.Dialer(sameHost: false), rails: Ours);
        await ReadsRightAsync(world, transport, world.Record, 32 * MiB);
        var read = transport.RailCounters.Read().ToArray();
        Assert.Equal(Ours, read[..2].Select(rail => rail.Rail));
        Assert.All(read[..2], rail => Assert.True(rail.Bytes > 0, $"{rail.Rail} has carried nothing"));
        Assert.Equal(32 * MiB, read.Sum(rail => rail.Bytes));
    }

    [Fact]
    public async Task A_rail_that_is_no_address_of_this_host_is_refused_by_name()
    {
        // TEST-NET-1, which no host has.
        var runtime = new MeshRuntime { Network = new SocketNetwork() };
        var options = new MeshNodeOptions { NodeId = "n", Insecure = true, Rails = ["127.0.0.2", "192.0.2.1"] };
        var registry = new EmbeddedRegistryStore(TimeProvider.System, RandomSource.System);
        var started = await MeshNode.StartAsync(options, new EmbeddedRegistry(registry, runtime), runtime, Cancel);
        Assert.Equal("config:rails", started.Error!.Stage);
        Assert.Equal("rails: '192.0.2.1' is no address of this host", started.Error.Message);
    }

    [Fact]
    public async Task Connections_are_bound_to_our_address_and_bounded()
    {
        await using var holder = new FakeHolder(null, Theirs);
        await using var transport = holder.Transport(1, Ours);
        using var destination = new GuardedMemory(16 * MiB);
        var reading = transport.ReadAsync(holder.Read(16 * MiB), destination.Range, Long, Cancel);
        var connections = new List<IPeerConnection>();
        for (int i = 0; i < 2 * RailSet.ConnectionsOf(2); i++)
        {
            connections.Add(await holder.AcceptAsync(i % 2));
            Assert.StartsWith(Ours[i % 2] + ":", connections[i].RemoteEndpoint);
        }

        var serving = connections.ConvertAll(ServeAsync);
        Assert.Equal(TransferOutcome.Done, await reading);
        Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)9));
        await transport.DisposeAsync();
        await Task.WhenAll(serving);
    }

    [Fact]
    public async Task Small_reads_and_peers_without_rails_take_the_endpoint()
    {
        await using var world = await WorldAsync();
        await using var transport = new TcpTransport(world.Dialer(sameHost: false), rails: Ours);
        await ReadsRightAsync(world, transport, world.Record, (int)RailSet.SmallestRead - 1);
        await ReadsRightAsync(world, transport, world.Record, 2 * MiB);
        Assert.Equal(0, transport.RailCounters.Read().Sum(rail => rail.Bytes));

        await using var other = new TcpTransport(world.Dialer(sameHost: false), rails: Ours);
        await ReadsRightAsync(world, other, world.Record with { Rails = [] }, 8 * MiB);
        Assert.Equal(0, other.RailCounters.Read().Sum(rail => rail.Bytes));

        await using var plain = new TcpTransport(world.Dialer(sameHost: false));
        await ReadsRightAsync(world, plain, world.Record, 8 * MiB);
        Assert.Equal(0, plain.RailCounters.Read().Sum(rail => rail.Bytes));
    }

    [Fact]
    public async Task Slices_of_a_rail_that_is_refused_are_read_over_the_other()
    {
        await using var world = await WorldAsync();
        await using var closed = new FakeHolder(null, Theirs);
        await closed.CloseAsync(1);
        await using var transport = new TcpTransport(world.Dialer(sameHost: false), rails: Ours);
        var node = world.Record with { Rails = [world.Record.Rails[0], closed.Record.Rails[1]] };
        await ReadsRightAsync(world, transport, node, 32 * MiB);
        Assert.True(transport.RailCounters.Retries > 0);
        Assert.True(transport.RailCounters.Pauses > 0);
        Assert.Equal((Ours[0], 32 * MiB), transport.RailCounters.Read().First());
    }

    [Fact]
    public async Task With_every_rail_refused_the_endpoint_carries_all()
    {
        await using var world = await WorldAsync();
        await using var closed = new FakeHolder(null, Theirs);
        await closed.CloseAsync(0);
        await closed.CloseAsync(1);
        await using var transport = new TcpTransport(world.Dialer(sameHost: false), rails: Ours);
        await ReadsRightAsync(world, transport, world.Record with { Rails = closed.Record.Rails }, 32 * MiB);
        Assert.Equal((RailCounters.Endpoint, 32 * MiB), transport.RailCounters.Read().Last());
    }

    [Fact]
    public async Task With_everything_refused_a_read_is_unreachable_and_later_ones_too()
    {
        await using var holder = new FakeHolder(null, Theirs);
        await holder.CloseAsync(0);
        await holder.CloseAsync(1);
        await using var transport = holder.Transport(2, Ours);
        await holder.DisposeAsync();
        using var destination = new GuardedMemory(16 * MiB);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(TransferOutcome.Unreachable,
                await transport.ReadAsync(holder.Read(16 * MiB), destination.Range, Long, Cancel));
        }
    }

    /// <summary>One rail stands still within a slice: it is cut, and only then is the slice read again.</summary>
    [Fact]
    public async Task What_a_cut_rail_sends_later_goes_nowhere()
    {
        var time = new ManualTimeProvider();
        await using var holder = new FakeHolder(time, Theirs);
        await using var transport = holder.Transport(1, Ours);
        using var destination = new GuardedMemory(16 * MiB);
        var reading = transport.ReadAsync(holder.Read(16 * MiB), destination.Range, Long, Cancel);
        var good = new List<IPeerConnection>();
        var stuck = new List<(IPeerConnection Connection, DataRequest Request)>();
        for (int i = 0; i < RailSet.ConnectionsOf(2); i++)
        {
            good.Add(await holder.AcceptAsync(0));
            var connection = await holder.AcceptAsync(1);
            stuck.Add((connection, await FakeHolder.RequestAsync(connection)));
        }

        var serving = good.ConvertAll(ServeAsync);
        foreach (var (connection, request) in stuck)
            await FakeHolder.AnswerAsync(connection, request, MiB / 2);
        while (stuck.Any(s => Volatile.Read(ref destination.Bytes[(int)s.Request.Skip + (MiB / 2) - 1]) != 9)
            || transport.RailCounters.Read().First().Bytes < 12 * MiB)
            await Task.Yield();
        Assert.False(reading.IsCompleted);
        time.Advance(Long / 2);
        Assert.Equal(TransferOutcome.Done, await reading);
        Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)9));

        destination.Bytes.Fill(0xEE);
        foreach (var (connection, _) in stuck)
            await SendsInVainAsync(connection);
        Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)0xEE));
        destination.AssertGuards();
        await transport.DisposeAsync();
        await Task.WhenAll(serving);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stop_in_mid_read_ends_every_slice_and_what_comes_later_goes_nowhere(bool cancels)
    {
        var time = new ManualTimeProvider();
        await using var holder = new FakeHolder(time, Theirs);
        await using var transport = holder.Transport(1, Ours);
        using var destination = new GuardedMemory(16 * MiB);
        using var stop = new CancellationTokenSource();
        var reading = transport.ReadAsync(holder.Read(16 * MiB), destination.Range, Long, stop.Token);
        var stuck = new List<IPeerConnection>();
        for (int i = 0; i < 2 * RailSet.ConnectionsOf(2); i++)
        {
            var connection = await holder.AcceptAsync(i % 2);
            var request = await FakeHolder.RequestAsync(connection);
            await FakeHolder.AnswerAsync(connection, request, MiB / 2);
            while (Volatile.Read(ref destination.Bytes[(int)request.Skip + (MiB / 2) - 1]) != 9)
                await Task.Yield();
            stuck.Add(connection);
        }

        if (cancels)
            await stop.CancelAsync();
        else
            await AdvanceUntilAsync(time, reading);
        Assert.Equal(TransferOutcome.Late, await reading);
        destination.Bytes.Fill(0xEE);
        foreach (var connection in stuck)
            await SendsInVainAsync(connection);
        Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)0xEE));
        destination.AssertGuards();
    }

    private static async Task AdvanceUntilAsync(ManualTimeProvider time, Task ended)
    {
        while (!ended.IsCompleted)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }
    }

    private static Task<TransferWorld> WorldAsync() =>
        TransferWorld.StartAsync(change: options => options with { Rails = Theirs });

    private static async Task ReadsRightAsync(TransferWorld world, TcpTransport transport,
        NodeRecord node, int size)
    {
        byte[] value = new byte[size];
        new Random(size).NextBytes(value);
        var held = world.Hold(value);
        using var destination = new GuardedMemory(size);
        var sums = new SliceSums(size);
        var read = world.ReadOf(held) with { Node = node, Sums = sums };
        Assert.Equal(TransferOutcome.Done, await transport.ReadAsync(read, destination.Range, Long, Cancel));
        Assert.True(destination.Bytes.SequenceEqual(value));
        Assert.Equal(SumOf(value), sums.Checksum);
        destination.AssertGuards();
    }

    /// <summary>Answers reads until the other side closes.</summary>
    private static async Task ServeAsync(IPeerConnection connection)
    {
        byte[] header = new byte[DataRequest.Bytes];
        while (true)
        {
            for (int at = 0; at < header.Length;)
            {
                int got = await connection.ReceiveAsync(header.AsMemory(at), Cancel);
                if (got == 0)
                {
                    connection.Abort();
                    return;
                }

                at += got;
            }

            var request = DataRequest.Read(header);
            await FakeHolder.AnswerAsync(connection, request, (int)request.Length);
        }
    }

    private static async Task SendsInVainAsync(IPeerConnection connection)
    {
        try
        {
            await connection.SendAsync(new byte[MiB / 2], Cancel);
            await connection.ReceiveAsync(new byte[1], Cancel);
        }
        catch (PeerNetworkException e)
        {
            Assert.NotEmpty(e.Message);
        }

        connection.Abort();
    }

    private static unsafe ulong SumOf(byte[] value)
    {
        fixed (byte* bytes = value)
            return ObjectSum.Of(bytes, value.Length);
    }
}
