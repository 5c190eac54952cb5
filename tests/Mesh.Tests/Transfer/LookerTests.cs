// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Threads that look for their own answers, on a connection whose thread would sleep for a day.</summary>
public sealed class LookerTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_thread_that_calls_again_and_again_receives_its_answers_itself(bool unix)
    {
        await using var pair = await Pair.OpenAsync(unix, Day);
        await RunAsync(pair.LookUntilReceivedHere);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Whoever_does_not_look_gets_its_answer_from_the_thread_of_the_connection(bool unix)
    {
        await using var pair = await Pair.OpenAsync(unix, Day);
        for (int i = 0; i < 20; i++)
        {
            await RunAsync(pair.LookUntilReceivedHere);
            Assert.Equal(Answers.Quick, await pair.CallAsync(Answers.Quick));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_call_that_takes_longer_than_a_look_gets_its_answer_from_the_thread_of_the_connection(bool unix)
    {
        await using var pair = await Pair.OpenAsync(unix, Day);
        for (int i = 0; i < 20; i++)
        {
            await RunAsync(() =>
            {
                pair.LookUntilReceivedHere();
                pair.LookFor(Answers.Late);
            });
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Threads_that_look_and_tasks_that_do_not_share_a_connection(bool unix)
    {
        const int Calls = 3_000;
        await using var pair = await Pair.OpenAsync(unix, Day);
        Task[] all =
        [
            .. Enumerable.Range(0, 3).Select(seed => RunAsync(() =>
            {
                var random = new Random(seed);
                for (int i = 0; i < Calls; i++)
                    pair.LookFor(random.Next(20) == 0 ? Answers.Late : random.Next(Answers.Late));
            })),
            Task.Run(async () =>
            {
                for (int i = 0; i < Calls / 4; i++)
                    Assert.Equal(i % 2, await pair.CallAsync(i % 2));
            }, Cancel),
        ];
        await Task.WhenAll(all).WaitAsync(Long, Cancel);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_connection_that_is_lent_ends_when_the_other_side_closes(bool unix)
    {
        await using var pair = await Pair.OpenAsync(unix);
        await RunAsync(pair.LookUntilReceivedHere);
        pair.There.Abort();
        await pair.Here.Closed.WaitAsync(Long, Cancel);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task One_that_is_closed_ends_those_who_look_and_its_thread(bool unix)
    {
        await using var pair = await Pair.OpenAsync(unix, Day);
        Task[] lookers =
        [
            .. Enumerable.Range(0, 2).Select(_ => RunAsync(() =>
            {
                while (TaskWait.ResultOf(pair.Look(Answers.Quick)).Answer.Succeeded)
                    continue;
            })),
        ];
        await RunAsync(pair.LookUntilReceivedHere);
        pair.Here.Abort();
        await Task.WhenAll(lookers).WaitAsync(Long, Cancel);
        await pair.Here.Closed.WaitAsync(Long, Cancel);
        await pair.There.Closed.WaitAsync(Long, Cancel);
        Assert.True(SpinWait.SpinUntil(() => pair.Receiving == 0, Long));
    }

    private static Task RunAsync(Action action) =>
        Task.Factory.StartNew(action, Cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>A client's channel, and the one that answers it.</summary>
    private sealed class Pair : IAsyncDisposable
    {
        private static readonly Hello Remote = new()
        {
            Cluster = "c",
            Lane = Lane.Client,
            NodeId = "peer",
            Incarnation = 1,
        };

        private readonly SocketNetwork _network;
        private readonly IPeerListener _listener;

        private Pair(SocketNetwork network, IPeerListener listener, IPeerConnection here, IPeerConnection there)
        {
            _network = network;
            _listener = listener;
            Here = Channel(here);
            here.BringsAnswersAlone(Here.AwaitsAnswer);
            There = Channel(there);
            Here.Start();
            There.Start();
        }

        public PeerChannel Here { get; }

        public PeerChannel There { get; }

        /// <summary>Connections that have a thread to receive.</summary>
        public int Receiving => _network.Pumps.Taken;

        public static async Task<Pair> OpenAsync(bool unix, TimeSpan? lentFor = null)
        {
            var network = new SocketNetwork();
            if (lentFor is { } time)
                network.Pumps.LentFor = time;
            var listener = network.Listen(unix
                ? "unix:" + Path.Combine(Path.GetTempPath(), $"mesh-{RandomSource.System.NextUInt64():x}.sock")
                : "127.0.0.1:0");
            var accepting = listener.AcceptAsync(Cancel);
            var here = await network.ConnectAsync(listener.Endpoint, Cancel);
            return new Pair(network, listener, here, await accepting);
        }

        /// <summary>A call that nobody looks for.</summary>
        public async Task<int> CallAsync(int what) => (await AskAsync(what)).Value.Count;

        /// <summary>A call that the calling thread looks for: whether it received the answer itself.</summary>
        public bool LookFor(int what)
        {
            var (answer, isHere) = TaskWait.ResultOf(Look(what));
            Assert.Equal(what, answer.Value.Count);
            return isHere;
        }

        /// <summary>Begins one.</summary>
        public Task<(MeshResult<Done> Answer, bool IsHere)> Look(int what)
        {
            int caller = Environment.CurrentManagedThreadId;
            return ReceiverScheduler.Start(async _ =>
            {
                var answer = await AskAsync(what);
                return (answer, Environment.CurrentManagedThreadId == caller);
            }, Cancel);
        }

        /// <summary>Calls until the calling thread has received an answer, and so will those that look next.</summary>
        public void LookUntilReceivedHere()
        {
            long begun = Environment.TickCount64;
            while (!LookFor(Answers.Quick))
                Assert.True(Environment.TickCount64 - begun < Long.TotalMilliseconds);
        }

        public async ValueTask DisposeAsync()
        {
            Here.Abort();
            There.Abort();
            await _listener.DisposeAsync();
        }

        private static PeerChannel Channel(IPeerConnection connection) =>
            new(connection, new FrameReader(connection), Remote, new Answers(), new MeshRuntime { Network = null! });

        private Task<MeshResult<Done>> AskAsync(int what) =>
            Here.CallAsync<AbandonRequest, Done>(new AbandonRequest((ulong)what), Long, CancellationToken.None);
    }

    /// <summary>Answers what it was asked, some of it late.</summary>
    private sealed class Answers : IPeerHandler
    {
        /// <summary>Asked for it, it answers at once.</summary>
        public const int Quick = 0;

        /// <summary>Asked for it, it answers when nobody looks any longer.</summary>
        public const int Late = 2;

        public FrameBudget Budget { get; } = new();

        public void Handle(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
            ref MessagePackReader reader)
        {
            int what = (int)AbandonRequest.Read(ref reader).ReservationId;
            if (what == Late)
                _ = Task.Run(() => AnswerLateAsync(channel, id));
            else
                channel.Answer(id, new Done(what));
        }

        public void Heard(PeerChannel channel)
        {
        }

        public void Garbage(PeerChannel channel, string reason)
        {
        }

        private static async Task AnswerLateAsync(PeerChannel channel, ulong id)
        {
            await Task.Delay(1);
            channel.Answer(id, new Done(Late));
        }
    }
}
