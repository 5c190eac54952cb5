// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using MessagePack;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>The outgoing frames of one connection: all of them, once, in order, and nobody waits.</summary>
public sealed class OutboxTests : IDisposable
{
    private const int Coalesced = 128 * 1024;
    private readonly HeldConnection _connection = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly StepScheduler _scheduler = new();
    private readonly FrameBudget _budget = new();
    private readonly Outbox _outbox;
    private int _broken;

    public OutboxTests()
    {
        var runtime = new MeshRuntime { Network = null!, Scheduler = _scheduler };
        _outbox = new Outbox(_connection, runtime, _stop.Token, () => Interlocked.Increment(ref _broken));
    }

    public void Dispose() => _stop.Dispose();

    [Fact]
    public void A_post_to_an_idle_connection_sends_at_once_on_its_own_thread()
    {
        int thread = 0;
        long since = 0;
        _connection.OnSend = (_, _) =>
        {
            thread = Environment.CurrentManagedThreadId;
            since = _outbox.SendStarted;
            return ValueTask.CompletedTask;
        };
        for (int i = 0; i < 5; i++)
        {
            Post(i);
            Assert.Equal(i + 1, _connection.Sends.Length);
        }

        Assert.Equal(Environment.CurrentManagedThreadId, thread);
        Assert.NotEqual(0, since);
        Assert.Equal(0, _outbox.SendStarted);
        AssertSent(5);
        Assert.Equal(0, _scheduler.Waiting);
    }

    [Fact]
    public async Task While_another_sends_frames_wait_and_then_go_in_one_send()
    {
        var held = _connection.Hold();
        Post(0);
        await _connection.BegunAsync();
        for (int i = 1; i < 100; i++)
            Post(i);
        Assert.NotEqual(0, _outbox.SendStarted);
        Assert.Empty(_connection.Sends);
        held.SetResult();
        await SentAsync(100);
        AssertSent(100);
        Assert.Equal(2, _connection.Sends.Length);
        Assert.Equal(0, _outbox.SendStarted);
    }

    [Fact]
    public async Task Sends_have_at_most_128_KiB_unless_one_frame_is_larger()
    {
        int[] sizes = [10, Coalesced, 10, 10, Coalesced - 40, 10, 50_000, 50_000, 50_000, 400_000, 10];
        var held = _connection.Hold();
        Post(0);
        await _connection.BegunAsync();
        for (int i = 0; i < sizes.Length; i++)
            Post(i + 1, sizes[i]);
        held.SetResult();
        await SentAsync(sizes.Length + 1);
        AssertSent(sizes.Length + 1);
        Assert.All(_connection.Sends, send => Assert.True(send.Length <= Coalesced || FramesOf(send).Count == 1));
        Assert.True(_connection.Sends.Length < sizes.Length);
        Assert.Equal(0, _budget.Bytes);
    }

    [Fact]
    public async Task A_queue_that_is_full_breaks_the_connection()
    {
        var held = _connection.Hold();
        Post(0);
        await _connection.BegunAsync();
        for (int i = 1; i <= Outbox.MostWaiting; i++)
            Post(i);
        Assert.Equal(0, _broken);
        Assert.False(_outbox.TryPost(Frame(0)));
        Assert.Equal(1, _broken);
        held.SetResult();
        await SentAsync(Outbox.MostWaiting + 1);
        AssertSent(Outbox.MostWaiting + 1);
    }

    [Fact]
    public async Task Frames_of_many_posters_all_go_out_each_posters_in_order()
    {
        const int Posters = 6;
        const int Each = 4000;
        using var room = new SemaphoreSlim(1000);
        int sends = 0;
        _connection.OnSend = async (bytes, _) =>
        {
            if (++sends % 3 == 0)
                await Task.Yield();
            room.Release(FramesOf(bytes).Count);
        };
        var posters = Enumerable.Range(0, Posters).Select(poster => Task.Run(async () =>
        {
            for (int i = 0; i < Each; i++)
            {
                // The places in the queue are the posters', as they are of open calls.
                await room.WaitAsync();
                Post((poster * Each) + i);
            }
        })).ToArray();
        var scheduling = _scheduler.RunUntilAsync(Task.WhenAll(posters));
        await Task.WhenAll(posters);
        await scheduling;
        await SentAsync(Posters * Each);
        Assert.False(_connection.Overlapped);
        var ids = _connection.Sends.SelectMany(FramesOf).ToList();
        for (int poster = 0; poster < Posters; poster++)
        {
            Assert.Equal(Enumerable.Range(poster * Each, Each),
                ids.Where(id => id / Each == poster));
        }
    }

    [Fact]
    public void One_poster_makes_eight_sends_and_the_rest_goes_on_in_the_background()
    {
        int posted = 1;
        _connection.OnSend = (_, _) =>
        {
            if (posted < 20)
                Post(posted++);
            return ValueTask.CompletedTask;
        };
        Post(0);
        Assert.Equal(8, _connection.Sends.Length);
        Assert.Equal(1, _scheduler.Waiting);
        Post(posted++);
        Assert.Equal(8, _connection.Sends.Length);
        _scheduler.Run();
        AssertSent(posted);
    }

    [Fact]
    public async Task Frames_posted_during_a_burst_go_in_one_send_at_its_end()
    {
        _outbox.Cork();
        for (int i = 0; i < 10; i++)
            Post(i);
        await Task.Run(() => Post(10), TestContext.Current.CancellationToken);
        Assert.Empty(_connection.Sends);
        _outbox.Uncork();
        Assert.Single(_connection.Sends);
        AssertSent(11);
        _outbox.Cork();
        _outbox.Uncork();
        Assert.Single(_connection.Sends);
        Post(11);
        Assert.Equal(2, _connection.Sends.Length);
    }

    [Fact]
    public async Task No_frame_is_left_between_a_cork_and_a_post_of_another_thread()
    {
        using var together = new Barrier(2);
        const int Rounds = 20_000;
        var poster = Task.Run(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                together.SignalAndWait();
                Post(i);
                together.SignalAndWait();
            }
        });
        for (int i = 0; i < Rounds; i++)
        {
            _outbox.Cork();
            together.SignalAndWait();
            Thread.SpinWait(i % 50);
            _outbox.Uncork();
            together.SignalAndWait();
            Assert.Equal(i + 1, _connection.Sends.Length);
        }

        await poster;
        AssertSent(Rounds);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_send_that_fails_says_so_once_and_nothing_is_kept(bool later)
    {
        var held = _connection.Hold();
        if (!later)
            held.SetException(new PeerNetworkException("broken"));
        Assert.True(_outbox.TryPost(Frame(0, 20_000)));
        for (int i = 1; later && i < 50; i++)
            Post(i, 20_000);
        if (later)
            held.SetException(new PeerNetworkException("broken"));
        await Eventually(() => Volatile.Read(ref _broken) > 0 && _budget.Bytes == 0);
        Assert.Equal(1, _broken);
        Assert.Empty(_connection.Sends);
        Assert.False(_outbox.TryPost(Frame(50, 20_000)));
        Assert.Equal(0, _budget.Bytes);
    }

    [Fact]
    public async Task A_close_during_a_send_ends_it_and_drops_what_waits()
    {
        _connection.Hold();
        for (int i = 0; i < 50; i++)
            Post(i, 20_000);
        await _connection.BegunAsync();
        await _stop.CancelAsync();
        _outbox.Close();
        await Eventually(() => _budget.Bytes == 0);
        Assert.Empty(_connection.Sends);
        Assert.False(_outbox.TryPost(Frame(50, 20_000)));
        Assert.Equal(0, _budget.Bytes);
        _outbox.Close();
    }

    [Fact]
    public void A_close_drops_what_a_burst_held_back()
    {
        _outbox.Cork();
        for (int i = 0; i < 50; i++)
            Post(i, 20_000);
        _outbox.Close();
        Assert.Equal(0, _budget.Bytes);
        _outbox.Uncork();
        Assert.Empty(_connection.Sends);
    }

    [Fact]
    public async Task A_close_among_posts_leaves_no_frame_behind()
    {
        for (int round = 0; round < 200; round++)
        {
            using var stop = new CancellationTokenSource();
            var outbox = new Outbox(_connection, new MeshRuntime { Network = null! }, stop.Token, () => { });
            using var begin = new Barrier(3);
            var posters = Enumerable.Range(0, 2).Select(_ => Task.Factory.StartNew(
                () =>
                {
                    begin.SignalAndWait();
                    for (int i = 0; outbox.TryPost(Frame(i, 20_000)); i++)
                    {
                    }
                },
                CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)).ToArray();
            begin.SignalAndWait();
            Thread.SpinWait(round * 20);
            outbox.Close();
            await Task.WhenAll(posters);
            await Eventually(() => _budget.Bytes == 0);
        }
    }

    [Fact]
    public async Task Calls_on_a_connection_that_fails_to_send_fail_all()
    {
        var held = _connection.Hold();
        var channel = Channel(new Answering());
        var calls = Enumerable.Range(0, 20).Select(_ => channel.CallAsync<AbandonRequest, Done>(
            new AbandonRequest(1), TimeSpan.FromMinutes(1), CancellationToken.None)).ToList();
        await _connection.BegunAsync();
        held.SetException(new PeerNetworkException("broken"));
        foreach (var call in calls)
            Assert.Equal(MeshErrorCode.Unavailable, (await call).Error?.Code);
        await channel.Closed.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        Assert.True(_connection.Aborted);
        Assert.Equal(MeshErrorCode.Unavailable, (await channel.CallAsync<AbandonRequest, Done>(
            new AbandonRequest(1), TimeSpan.FromMinutes(1), CancellationToken.None)).Error?.Code);
    }

    [Fact]
    public async Task A_peer_that_takes_no_answers_is_cut_off()
    {
        _connection.Hold();
        var channel = Channel(new Answering());
        for (int i = 0; i < Outbox.MostWaiting + 2; i++)
        {
            var frame = FrameBuffer.Of(MessageType.Abandon, (ulong)i, new AbandonRequest(1));
            _connection.Arrive(frame.Bytes.ToArray());
            frame.Return();
        }

        await channel.Closed.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        Assert.True(_connection.Aborted);
    }

    private PeerChannel Channel(IPeerHandler handler)
    {
        var remote = new Hello { Cluster = "c", Lane = Lane.Client, NodeId = "peer", Incarnation = 1 };
        var channel = new PeerChannel(_connection, new FrameReader(_connection), remote, handler,
            new MeshRuntime { Network = null! });
        channel.Start();
        return channel;
    }

    private void Post(int id, int bytes = 10) => Assert.True(_outbox.TryPost(Frame(id, bytes)));

    private FrameBuffer Frame(int id, int bytes = 10)
    {
        var frame = FrameBuffer.Begin(MessageType.Answer, (ulong)id, out var writer);
        writer.Write(new byte[bytes]);
        frame.End(ref writer);
        Assert.True(frame.TryCharge(_budget));
        return frame;
    }

    /// <summary>Runs what was left to the scheduler until so many frames have been sent.</summary>
    private Task SentAsync(int frames) =>
        Eventually(() => _connection.Sends.Sum(send => FramesOf(send).Count) >= frames);

    private async Task Eventually(Func<bool> holds)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!holds())
        {
            limit.Token.ThrowIfCancellationRequested();
            _scheduler.Run();
            await Task.Yield();
        }
    }

    private void AssertSent(int frames)
    {
        Assert.False(_connection.Overlapped);
        Assert.Equal(Enumerable.Range(0, frames), _connection.Sends.SelectMany(FramesOf));
    }

    private static List<int> FramesOf(byte[] send)
    {
        var ids = new List<int>();
        for (int at = 0; at < send.Length;)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(send.AsSpan(at));
            var reader = new MessagePackReader(send.AsMemory(at + 4, length));
            reader.ReadArrayHeader();
            reader.Skip();
            ids.Add((int)reader.ReadUInt64());
            at += 4 + length;
        }

        return ids;
    }

    /// <summary>Answers at once.</summary>
    private sealed class Answering : IPeerHandler
    {
        public FrameBudget Budget { get; } = new();

        public void Handle(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
            ref MessagePackReader reader) => channel.Answer(id, new Done(1));

        public void Heard(PeerChannel channel)
        {
        }

        public void Garbage(PeerChannel channel, string reason)
        {
        }
    }
}
