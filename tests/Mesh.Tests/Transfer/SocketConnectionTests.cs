// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Connections with a receiving thread and those beyond the bound keep the same promises.</summary>
public sealed class SocketConnectionTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0, false)]
    [InlineData(0, true)]
    [InlineData(PumpBudget.Most, false)]
    [InlineData(PumpBudget.Most, true)]
    public async Task Bytes_cross_in_order_and_more_than_the_kernel_holds(int taken, bool unix)
    {
        await using var pair = await Pair.OpenAsync(taken, unix);
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
    [InlineData(0, false)]
    [InlineData(0, true)]
    [InlineData(PumpBudget.Most, false)]
    [InlineData(PumpBudget.Most, true)]
    public async Task A_receive_ends_when_either_side_closes(int taken, bool unix)
    {
        await using var pair = await Pair.OpenAsync(taken, unix);
        var there = pair.There.ReceiveAsync(new byte[1], Cancel).AsTask();
        var here = pair.Here.ReceiveAsync(new byte[1], Cancel).AsTask();
        pair.Here.Abort();
        await EndsAsync(there);
        await EndsAsync(here);
        await Assert.ThrowsAnyAsync<Exception>(() => pair.Here.ReceiveAsync(new byte[1], Cancel).AsTask());
        await Assert.ThrowsAnyAsync<Exception>(() => pair.Here.SendAsync(new byte[1], Cancel).AsTask());
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(0, true)]
    [InlineData(PumpBudget.Most, false)]
    [InlineData(PumpBudget.Most, true)]
    public async Task A_receive_ends_when_it_is_cancelled(int taken, bool unix)
    {
        await using var pair = await Pair.OpenAsync(taken, unix);
        using var stop = new CancellationTokenSource();
        var receiving = pair.There.ReceiveAsync(new byte[1], stop.Token).AsTask();
        Assert.False(receiving.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => receiving);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_reader_may_close_its_own_connection(bool unix)
    {
        await using var pair = await Pair.OpenAsync(0, unix);
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

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_arrives_wakes_the_receiving_thread_and_not_the_poller_of_the_runtime(bool unix)
    {
        await using var pair = await Pair.OpenAsync(0, unix);
        var receiving = pair.Here.ReceiveAsync(new byte[1], Cancel).AsTask();
        await pair.There.SendAsync(new byte[1], Cancel);
        Assert.Equal(1, await receiving);
        // A closed socket of another test's that had this number stays, as long as a process that is being started
        // holds it too.
        Assert.True(SpinWait.SpinUntil(() => !Polled().Contains(DescriptorOf(pair.Here)), Long));
        Assert.True(SpinWait.SpinUntil(() => !Polled().Contains(DescriptorOf(pair.There)), Long));
        static int DescriptorOf(IPeerConnection end) => (int)((SocketConnection)end).Socket.Handle;
    }

    [Fact]
    public async Task A_connect_that_is_under_way_ends_when_it_is_cancelled()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        // Room for one that nobody accepts: of eight, some are not answered.
        listener.Listen(0);
        using var stop = new CancellationTokenSource();
        var network = new SocketNetwork();
        string endpoint = listener.LocalEndPoint!.ToString()!;
        Task<IPeerConnection>[] connects =
            [.. Enumerable.Range(0, 8).Select(_ => network.ConnectAsync(endpoint, stop.Token))];
        await await Task.WhenAny(connects);
        await stop.CancelAsync();
        int cancelled = 0;
        foreach (var connect in connects)
        {
            try
            {
                await using var connected = await connect;
            }
            catch (OperationCanceledException)
            {
                cancelled++;
            }
        }

        Assert.InRange(cancelled, 1, 7);
    }

    [Fact]
    public async Task A_refused_connect_says_so()
    {
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        closed.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var refused = await Assert.ThrowsAsync<PeerNetworkException>(
            () => new SocketNetwork().ConnectAsync(closed.LocalEndPoint!.ToString()!, Cancel));
        Assert.Contains("refused", refused.Message, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Descriptors that any poller of this process waits for.</summary>
    private static List<int> Polled()
    {
        var polled = new List<int>();
        foreach (var (poller, _) in OwnDescriptors.Now().Where(each => each.Target.Contains("eventpoll")))
        {
            foreach (string line in File.ReadLines($"/proc/self/fdinfo/{poller}"))
            {
                if (line.StartsWith("tfd:", StringComparison.Ordinal))
                    polled.Add(int.Parse(line[4..].Split(' ', 2, StringSplitOptions.RemoveEmptyEntries)[0],
                        CultureInfo.InvariantCulture));
            }
        }

        return polled;
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
        /// <param name="unix">Whether they are Unix sockets.</param>
        public static async Task<Pair> OpenAsync(int taken, bool unix)
        {
            var network = new SocketNetwork();
            for (int i = 0; i < taken; i++)
                Assert.True(network.Pumps.TryTake());
            var listener = network.Listen(unix
                ? "unix:" + Path.Combine(Path.GetTempPath(), $"mesh-{RandomSource.System.NextUInt64():x}.sock")
                : "127.0.0.1:0");
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
