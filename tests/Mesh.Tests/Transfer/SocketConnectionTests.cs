// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Connections with a receiving thread and those beyond the bound keep the same promises.</summary>
public sealed class SocketConnectionTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(PumpBudget.Most)]
    public async Task Bytes_cross_in_order_and_more_than_the_kernel_holds(int taken)
    {
        await using var pair = await Pair.OpenAsync(taken);
        byte[] sent = new byte[16 << 20];
        new Random(1).NextBytes(sent);
        var sending = Task.Run(() => pair.Here.SendAsync(sent, Cancel).AsTask(), Cancel);
        byte[] got = new byte[sent.Length];
        for (int at = 0; at < got.Length;)
            at += await pair.There.ReceiveAsync(got.AsMemory(at), Cancel);
        await sending;
        Assert.True(got.AsSpan().SequenceEqual(sent));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(PumpBudget.Most)]
    public async Task A_receive_ends_when_either_side_closes(int taken)
    {
        await using var pair = await Pair.OpenAsync(taken);
        var there = pair.There.ReceiveAsync(new byte[1], Cancel).AsTask();
        var here = pair.Here.ReceiveAsync(new byte[1], Cancel).AsTask();
        pair.Here.Abort();
        await EndsAsync(there);
        await EndsAsync(here);
        await Assert.ThrowsAnyAsync<Exception>(() => pair.Here.ReceiveAsync(new byte[1], Cancel).AsTask());
        await Assert.ThrowsAnyAsync<Exception>(() => pair.Here.SendAsync(new byte[1], Cancel).AsTask());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(PumpBudget.Most)]
    public async Task A_receive_ends_when_it_is_cancelled(int taken)
    {
        await using var pair = await Pair.OpenAsync(taken);
        using var stop = new CancellationTokenSource();
        var receiving = pair.There.ReceiveAsync(new byte[1], stop.Token).AsTask();
        Assert.False(receiving.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => receiving);
    }

    [Fact]
    public async Task The_reader_may_close_its_own_connection()
    {
        await using var pair = await Pair.OpenAsync(0);
        var closed = Task.Run(async () =>
        {
            // Goes on upon the receiving thread itself.
            await pair.There.ReceiveAsync(new byte[1], Cancel);
            pair.There.Abort();
        }, Cancel);
        await pair.Here.SendAsync(new byte[1], Cancel);
        await closed;
        Assert.Equal(0, await pair.Here.ReceiveAsync(new byte[1], Cancel));
    }

    /// <summary>No byte came: the end, or a failure that every reader expects.</summary>
    private static async Task EndsAsync(Task<int> receive)
    {
        try
        {
            Assert.Equal(0, await receive);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or OperationCanceledException)
        {
            Assert.True(receive.IsCompleted);
        }
    }

    /// <summary>Two ends of one connection.</summary>
    private sealed class Pair(IPeerListener listener, IPeerConnection here, IPeerConnection there) : IAsyncDisposable
    {
        public IPeerConnection Here => here;

        public IPeerConnection There => there;

        /// <param name="taken">Receiving threads that others have taken.</param>
        public static async Task<Pair> OpenAsync(int taken)
        {
            var network = new SocketNetwork();
            for (int i = 0; i < taken; i++)
                Assert.True(network.Pumps.TryTake());
            var listener = network.Listen("127.0.0.1:0");
            var accepting = listener.AcceptAsync(Cancel);
            var here = await network.ConnectAsync(listener.Endpoint, Cancel);
            return new Pair(listener, here, await accepting);
        }

        public async ValueTask DisposeAsync()
        {
            here.Abort();
            there.Abort();
            await listener.DisposeAsync();
        }
    }
}
