// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Rails without sockets: connections are threads that copy, on a clock that the test moves.</summary>
public sealed class RailTests
{
    private const int MiB = 1 << 20;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private readonly ManualTimeProvider _time = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public void Slices_go_where_they_arrive_first()
    {
        Rail[] rails = [NewRail(0), NewRail(1)];
        Measure(rails[0], MiB, TimeSpan.FromMilliseconds(10));
        Measure(rails[1], MiB, TimeSpan.FromMilliseconds(40));
        int[] given = new int[2];
        for (int i = 0; i < 100; i++)
        {
            var rail = RailSet.First(rails, MiB)!;
            rail.Begin(MiB);
            given[rail.Number]++;
        }

        Assert.InRange(given[0], 79, 81);
    }

    [Fact]
    public void Rails_that_were_never_measured_share_alike_and_a_new_measurement_counts_a_quarter()
    {
        Rail[] rails = [NewRail(0), NewRail(1)];
        for (int i = 0; i < 10; i++)
            RailSet.First(rails, MiB)!.Begin(MiB);
        Assert.Equal(rails[0].InFlight, rails[1].InFlight);

        var rail = NewRail(0);
        Measure(rail, 1000, TimeSpan.FromSeconds(1));
        Measure(rail, 2000, TimeSpan.FromSeconds(1));
        Assert.Equal(1250, rail.Speed, 0.001);
    }

    [Fact]
    public void A_slow_measurement_does_not_keep_a_rail_out_for_good()
    {
        Rail[] rails = [NewRail(0), NewRail(1)];
        Measure(rails[0], MiB, TimeSpan.FromMilliseconds(1));
        Measure(rails[1], MiB, TimeSpan.FromSeconds(10));
        rails[0].Begin(MiB);
        Assert.Same(rails[0], RailSet.First(rails, MiB));
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Same(rails[1], RailSet.First(rails, MiB));
        rails[1].Begin(MiB);
        Assert.Same(rails[0], RailSet.First(rails, MiB));
    }

    [Fact]
    public void Pauses_double_up_to_a_limit_and_are_forgotten_with_a_slice_that_arrives()
    {
        var rail = NewRail(0);
        rail.Begin(MiB);
        rail.Begin(MiB);
        int failures = rail.Failures;
        Assert.True(rail.Failed(MiB, failures));
        Assert.False(rail.Failed(MiB, failures));
        foreach (int pause in (int[])[100, 200, 400, 800, 1600, 3200, 5000, 5000])
        {
            _time.Advance(TimeSpan.FromMilliseconds(pause - 1));
            Assert.False(rail.TryBeginProbe());
            _time.Advance(TimeSpan.FromMilliseconds(1));
            Assert.True(rail.TryBeginProbe());
            Assert.False(rail.TryBeginProbe());
            Assert.True(rail.IsPausing);
            rail.Probed(false);
        }

        _time.Advance(Rail.LongestPause);
        Assert.True(rail.TryBeginProbe());
        rail.Probed(true);
        Assert.False(rail.IsPausing);
        Measure(rail, MiB, TimeSpan.FromMilliseconds(1));
        rail.Begin(MiB);
        Assert.True(rail.Failed(MiB, rail.Failures));
        _time.Advance(Rail.FirstPause);
        Assert.True(rail.TryBeginProbe());
        Assert.Equal(0, rail.InFlight);
    }

    [Fact]
    public async Task A_rail_that_fails_pauses_is_probed_and_used_again()
    {
        await using var world = new RailWorld(_time, 24 * MiB, rails: 2);
        world.Ends[1].Fails = true;
        await world.ReadAsync();
        Assert.Equal(0, world.Ends[1].Slices);
        Assert.True(world.Set.Rails[1].IsPausing);
        Assert.True(world.Counters.Retries > 0);
        Assert.Equal(1, world.Counters.Pauses);

        // Still within the pause: nothing is asked of it, not even whether it is back.
        world.Ends[1].Fails = false;
        int asked = world.Ends[1].Asked;
        await world.ReadAsync();
        Assert.Equal(asked, world.Ends[1].Asked);

        _time.Advance(Rail.FirstPause);
        await world.ReadAsync();
        while (world.Set.Rails[1].IsPausing)
            await Task.Yield();
        Assert.Equal(1, world.Ends[1].Probes);
        await world.ReadAsync();
        Assert.True(world.Ends[1].Slices > 0);
        Assert.Equal(96 * MiB, world.Counters.Read().Sum(rail => rail.Bytes));
        Assert.Equal(0, world.Set.Rails.Sum(rail => rail.InFlight));
    }

    [Fact]
    public async Task While_every_rail_pauses_the_endpoint_carries_the_slices()
    {
        await using var world = new RailWorld(_time, 16 * MiB, rails: 2);
        world.Ends[0].Fails = world.Ends[1].Fails = true;
        await world.ReadAsync();
        Assert.Equal(16, world.Ends[2].Slices);
        Assert.Equal((RailCounters.Endpoint, 16 * MiB), world.Counters.Read().Last());
    }

    [Fact]
    public async Task Without_a_rail_and_an_endpoint_a_read_is_unreachable()
    {
        await using var world = new RailWorld(_time, 16 * MiB, rails: 2);
        world.Ends[0].Fails = world.Ends[1].Fails = world.Ends[2].Fails = true;
        Assert.Equal(TransferOutcome.Unreachable, await world.TryReadAsync(Long, Cancel));
        Assert.Equal(0, world.Set.Rails.Sum(rail => rail.InFlight));
    }

    [Fact]
    public async Task A_rail_that_stands_still_is_cut_and_its_slices_go_elsewhere()
    {
        await using var world = new RailWorld(_time, 16 * MiB, rails: 2);
        world.Ends[1].Stalls = true;
        var reading = world.ReadAsync();
        // The first rail carries all but the four slices that the second one sits on.
        while (world.Counters.Read().First().Bytes < 12 * MiB || world.Ends[1].Asked < RailSet.ConnectionsOf(2))
            await Task.Yield();
        Assert.False(reading.IsCompleted);
        _time.Advance(Long / 2);
        await reading;
        Assert.Equal(0, world.Ends[1].Slices);
        Assert.Equal(4, world.Counters.Retries);
        Assert.Equal(16 * MiB, world.Counters.Read().First().Bytes);
    }

    [Fact]
    public async Task A_slice_without_an_answer_of_the_extent_ends_the_read_as_stale()
    {
        await using var world = new RailWorld(_time, 16 * MiB, rails: 2);
        world.Ends[1].Stale = true;
        Assert.Equal(TransferOutcome.Stale, await world.TryReadAsync(Long, Cancel));
        Assert.False(world.Set.Rails[1].IsPausing);
    }

    [Fact]
    public void Rails_are_paired_in_order_and_only_within_one_family()
    {
        NodeRecord node = new() { NodeId = "n", Incarnation = 1, Rails = ["10.0.0.1:7", "10.1.0.1:7"] };
        Assert.Empty(RailSet.Pairs([], node));
        Assert.Empty(RailSet.Pairs(["10.0.0.9"], node with { Rails = [] }));
        Assert.Empty(RailSet.Pairs(["10.0.0.9"], node with { Rails = ["10.0.0.1:7"] }));
        Assert.Equal([(new RailPair("10.0.0.9", "10.0.0.1:7"), 0), (new RailPair("10.1.0.9", "10.1.0.1:7"), 1)],
            RailSet.Pairs(["10.0.0.9", "10.1.0.9"], node));
        Assert.Equal([(new RailPair("10.0.0.9", "10.0.0.1:7"), 0), (new RailPair("10.0.0.9", "10.1.0.1:7"), 0)],
            RailSet.Pairs(["10.0.0.9"], node));
        Assert.Empty(RailSet.Pairs(["10.0.0.9", "fd00::9"], node));
        // What another node says need not be sound.
        Assert.Empty(RailSet.Pairs(["10.0.0.9"], node with { Rails = [null!, "", "x", "10.0.0.1", "10.0.0.1:7"] }));
        Assert.Equal(8, RailSet.Pairs(["10.0.0.9"],
            node with { Rails = [.. Enumerable.Range(1, 20).Select(i => $"10.0.0.{i}:7")] }).Length);
    }

    private Rail NewRail(int number) =>
        new(number, number, new JobQueue<TcpJob>("none", default, _time, () => throw new InvalidOperationException()),
            _time);

    private void Measure(Rail rail, long bytes, TimeSpan took) => rail.Arrived(bytes, rail.Begin(bytes), took);
}

/// <summary>A set of rails whose connections end in this process.</summary>
internal sealed class RailWorld : IAsyncDisposable
{
    private readonly TimeProvider _time;
    private readonly byte[] _value;
    private readonly JobQueue<TcpJob> _endpoint;
    private readonly GuardedMemory _destination;

    public RailWorld(TimeProvider time, int size, int rails)
    {
        _time = time;
        _value = new byte[size];
        new Random(size).NextBytes(_value);
        _destination = new GuardedMemory(size);
        Ends = [.. Enumerable.Range(0, rails + 1).Select(_ => new RailEnd(_value))];
        Counters = new RailCounters([.. Enumerable.Range(0, rails).Select(i => $"rail{i}")]);
        _endpoint = QueueTo(rails, 2);
        int connections = RailSet.ConnectionsOf(rails);
        Set = new RailSet([.. Enumerable.Range(0, rails).Select(i => (QueueTo(i, connections), i))], _endpoint,
            connections, Counters, time);
    }

    /// <summary>The other ends of the rails, and of the endpoint.</summary>
    public RailEnd[] Ends { get; }

    public RailCounters Counters { get; }

    public RailSet Set { get; }

    /// <summary>Reads the whole value; it must arrive.</summary>
    public async Task ReadAsync()
    {
        _destination.Bytes.Clear();
        var sums = new SliceSums(_value.Length);
        Assert.Equal(TransferOutcome.Done, await TryReadAsync(TimeSpan.FromSeconds(60), default, sums));
        Assert.True(_destination.Bytes.SequenceEqual(_value));
        var right = new SliceSums(_value.Length);
        TakeOf(right, _destination.Range);
        Assert.Equal(right.Checksum, sums.Checksum);
        _destination.AssertGuards();
    }

    public Task<TransferOutcome> TryReadAsync(TimeSpan timeout, CancellationToken cancel, SliceSums? sums = null)
    {
        var node = new NodeRecord { NodeId = "n", Incarnation = 1 };
        Assert.True(Set.TryEnter());
        return Set.ReadAsync(new ExtentRead(node, 0, 0, 1, _value.Length, 0, sums), _destination.Range, timeout,
            cancel);
    }

    public async ValueTask DisposeAsync()
    {
        await Set.DisposeAsync();
        await _endpoint.DisposeAsync();
        _destination.Dispose();
    }

    private static unsafe void TakeOf(SliceSums sums, NativeRange range) => sums.Take((byte*)range.Address);

    private JobQueue<TcpJob> QueueTo(int end, int threads) =>
        new("rail-test", new JobQueueBounds(threads, 1024, TimeSpan.FromSeconds(60)), _time,
            () => new Worker(Ends[end]));

    private sealed class Worker(RailEnd end) : IJobWorker<TcpJob>, IStoppable
    {
        private readonly ManualResetEventSlim _stopped = new();

        public bool TryPrepare(CancellationToken closing)
        {
            _stopped.Reset();
            return true;
        }

        public bool TryRun(TcpJob job, bool lastTry)
        {
            if (job.TryBegin(this))
                job.Finish(end.Serve(job, _stopped));
            return true;
        }

        public void Stop() => _stopped.Set();

        public void Cut() => _stopped.Set();

        public void Dispose() => _stopped.Dispose();
    }
}

/// <summary>The other end of a rail: what it does with each request.</summary>
internal sealed class RailEnd(byte[] value)
{
    private volatile bool _fails;
    private volatile bool _stalls;
    private volatile bool _stale;
    private int _asked;
    private int _slices;
    private int _probes;

    /// <summary>Whether its connections break.</summary>
    public bool Fails { get => _fails; set => _fails = value; }

    /// <summary>Whether it never answers.</summary>
    public bool Stalls { get => _stalls; set => _stalls = value; }

    /// <summary>Whether the object is gone.</summary>
    public bool Stale { get => _stale; set => _stale = value; }

    public int Asked => Volatile.Read(ref _asked);

    public int Slices => Volatile.Read(ref _slices);

    public int Probes => Volatile.Read(ref _probes);

    public unsafe TransferOutcome Serve(TcpJob job, ManualResetEventSlim stopped)
    {
        Interlocked.Increment(ref _asked);
        var request = job.ToRequest(1);
        if (_stalls)
        {
            // Half of it comes; what the caller may touch again once this has returned is left alone from then on.
            value.AsSpan((int)request.Skip, (int)request.Length / 2).CopyTo(SpanOf(job));
            stopped.Wait();
            return TransferOutcome.Unreachable;
        }

        if (_fails)
            return TransferOutcome.Unreachable;
        if (request.Length == 0)
        {
            Interlocked.Increment(ref _probes);
            return TransferOutcome.Stale;
        }

        if (_stale)
            return TransferOutcome.Stale;
        value.AsSpan((int)request.Skip, (int)request.Length).CopyTo(SpanOf(job));
        job.Sums?.Take((byte*)job.Memory.Address);
        Interlocked.Increment(ref _slices);
        return TransferOutcome.Done;
    }

    private static unsafe Span<byte> SpanOf(TcpJob job) => new((void*)job.Memory.Address, (int)job.Memory.Length);
}
