// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Transfer.Rails;

namespace Mooncake.Mesh.Tests.Transfer.Rails;

public sealed class RailBoardTests
{
    private const long Slice = 64 << 10;
    private static readonly RailPort[] Ports = [new("mlx5_0", 1), new("mlx5_1", 1)];
    private readonly ManualTimeProvider _time = new();
    private readonly RailBoard _board;
    private readonly RailChoice _both;

    public RailBoardTests()
    {
        _board = new RailBoard(Ports, _time);
        _both = new RailChoice([0, 1], []);
    }

    [Fact]
    public void Two_equal_rails_share_alike()
    {
        var counts = Carry(slices: 1_000, inFlight: 8, bytesPerSecond: [1e9, 1e9]);
        Assert.All(counts, count => Assert.InRange(count.Bytes, 0.35 * 1_000 * Slice, 0.65 * 1_000 * Slice));
        Assert.Equal(1_000 * Slice, counts.Sum(count => count.Bytes));
        Assert.Equal(1_000, counts.Sum(count => count.Slices));
    }

    [Fact]
    public void A_rail_at_half_the_speed_gets_a_third()
    {
        var counts = Carry(slices: 3_000, inFlight: 16, bytesPerSecond: [1e9, 0.5e9]);
        Assert.InRange(counts[1].Slices, 850, 1_150);
        Assert.InRange(counts[0].Bandwidth, 0.8e9, 1.2e9);
        Assert.InRange(counts[1].Bandwidth, 0.4e9, 0.6e9);
    }

    [Fact]
    public void A_burst_is_spread_by_what_is_known_of_the_rails()
    {
        Measure(rail: 0, TimeSpan.FromMilliseconds(1));
        Measure(rail: 1, TimeSpan.FromMilliseconds(4));
        int[] given = new int[2];
        for (int i = 0; i < 100; i++)
            given[Place(_both).Rail]++;
        // Four times as fast, and given twice as much.
        Assert.InRange(given[0], 66, 68);
    }

    [Fact]
    public void Rails_that_share_what_limits_them_stay_together()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            var board = new RailBoard(Ports, _time);
            double share = ShareOfFirst(board, new Random(seed), slices: 1_024, inFlight: 32);
            Assert.True(share is > 0.3 and < 0.7, $"the first has carried {share:p0}, seed {seed}");
        }
    }

    [Fact]
    public void A_rail_that_was_slow_once_is_measured_again()
    {
        Measure(rail: 0, TimeSpan.FromMilliseconds(1));
        Measure(rail: 1, TimeSpan.FromSeconds(10));
        Assert.Equal(0, Place(_both).Rail);
        Assert.Equal(0, Place(_both).Rail);
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(1, Place(_both).Rail);
    }

    [Fact]
    public void What_is_given_slowly_and_seen_to_arrive_at_once_makes_no_rail_look_fast()
    {
        var slices = new RailSlice[10];
        for (int i = 0; i < slices.Length; i++)
        {
            slices[i] = Place(OnlyFirst);
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        foreach (var slice in slices)
            _board.Arrived(slice);
        Assert.InRange(_board.Counts()[0].Bandwidth, Slice / 0.011, Slice / 0.001);
    }

    [Fact]
    public void A_rail_that_comes_back_is_neither_as_slow_as_before_nor_as_its_probe()
    {
        Measure(rail: 0, TimeSpan.FromSeconds(4));
        Measure(rail: 1, TimeSpan.FromMilliseconds(1));
        _board.PortDown("mlx5_0", 1);
        _board.PortUp("mlx5_0", 1);
        var probe = Place(_both);
        Assert.True(probe.IsProbe);
        _time.Advance(TimeSpan.FromMilliseconds(300));
        _board.Arrived(probe);
        int[] given = new int[2];
        for (int i = 0; i < 10; i++)
            given[Place(_both).Rail]++;
        Assert.Equal([5, 5], given);
    }

    [Fact]
    public void The_preferred_rail_is_used_alone_until_it_fails()
    {
        var choice = new RailChoice([1], [0]);
        var slices = new RailSlice[10];
        for (int i = 0; i < slices.Length; i++)
            slices[i] = Place(choice);
        Assert.All(slices, slice => Assert.Equal(1, slice.Rail));

        _board.Failed(slices[0]);
        Assert.Equal(0, Place(choice).Rail);
    }

    [Fact]
    public void Slices_that_fail_together_are_one_pause()
    {
        var slices = new[] { Place(OnlyFirst), Place(OnlyFirst), Place(OnlyFirst) };
        Assert.True(_board.Failed(slices[0]));
        Assert.False(_board.Failed(slices[1]));
        Assert.False(_board.Failed(slices[2]));

        var count = _board.Counts()[0];
        Assert.Equal((3, 1, 0, true), (count.Errors, count.Pauses, count.InFlight, count.IsPausing));
        Assert.Equal(TimeSpan.FromMilliseconds(100), RefusedFor(OnlyFirst));
    }

    [Fact]
    public void A_rail_that_fails_is_probed_by_one_slice_and_used_again_when_that_arrives()
    {
        _board.Failed(Place(OnlyFirst));
        Assert.Equal(1, Place(_both).Rail);
        _time.Advance(TimeSpan.FromMilliseconds(99));
        Assert.Equal(1, Place(_both).Rail);

        _time.Advance(TimeSpan.FromMilliseconds(1));
        var probe = Place(_both);
        Assert.Equal((0, true), (probe.Rail, probe.IsProbe));
        Assert.Equal(1, Place(_both).Rail);
        Assert.Equal(1, Place(_both).Rail);

        _time.Advance(TimeSpan.FromMilliseconds(1));
        _board.Arrived(probe);
        Assert.False(_board.Counts()[0].IsPausing);
        Assert.False(Place(OnlyFirst).IsProbe);
    }

    [Fact]
    public void Pauses_double_up_to_five_seconds_while_probes_fail()
    {
        _board.Failed(Place(OnlyFirst));
        var pauses = new List<double>();
        for (int i = 0; i < 8; i++)
        {
            var pause = RefusedFor(OnlyFirst);
            pauses.Add(pause.TotalMilliseconds);
            _time.Advance(pause);
            _board.Failed(Place(OnlyFirst));
        }

        Assert.Equal([100, 200, 400, 800, 1600, 3200, 5000, 5000], pauses);
        Assert.Equal(1, _board.Counts()[0].Pauses);
    }

    [Fact]
    public void A_rail_that_fails_after_each_probe_pauses_longer_and_one_that_carries_on_does_not()
    {
        _board.Failed(Place(OnlyFirst));
        Recover();
        _board.Failed(Place(OnlyFirst));
        Assert.Equal(TimeSpan.FromMilliseconds(200), RefusedFor(OnlyFirst));

        Recover();
        _board.Arrived(Place(OnlyFirst));
        _board.Failed(Place(OnlyFirst));
        Assert.Equal(TimeSpan.FromMilliseconds(100), RefusedFor(OnlyFirst));
        Assert.Equal(3, _board.Counts()[0].Pauses);
    }

    [Fact]
    public void What_was_given_before_a_failure_neither_ends_its_pause_nor_begins_another()
    {
        var early = new[] { Place(OnlyFirst), Place(OnlyFirst) };
        _board.Failed(Place(OnlyFirst));
        _board.Arrived(early[0]);
        Assert.True(_board.Counts()[0].IsPausing);
        Recover();
        Assert.False(_board.Failed(early[1]));
        Assert.False(_board.Counts()[0].IsPausing);
        Assert.Equal(0, _board.Counts()[0].InFlight);
    }

    [Fact]
    public void A_probe_that_is_given_up_leaves_room_for_the_next()
    {
        _board.Failed(Place(OnlyFirst));
        _time.Advance(RailBoard.FirstPause);
        _board.Ended(Place(OnlyFirst));
        Assert.True(Place(OnlyFirst).IsProbe);
    }

    [Fact]
    public void A_port_that_goes_down_is_left_at_once_and_used_when_it_is_up()
    {
        var under = Place(OnlyFirst);
        _board.PortDown("mlx5_0", 1);
        for (int i = 0; i < 10; i++)
            Assert.Equal(1, Place(_both).Rail);
        Assert.False(_board.Failed(under));

        _board.PortUp("mlx5_0", 1);
        var probe = Place(_both);
        Assert.Equal((0, true), (probe.Rail, probe.IsProbe));
        _board.Arrived(probe);
        Assert.False(_board.Counts()[0].IsPausing);
    }

    [Fact]
    public void A_port_whose_return_nobody_told_is_probed_all_the_same()
    {
        _board.PortDown("mlx5_0", 1);
        Assert.Equal(TimeSpan.FromSeconds(5), RefusedFor(OnlyFirst));
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.True(Place(OnlyFirst).IsProbe);
    }

    [Theory]
    [InlineData("mlx5_0", 2)]
    [InlineData("mlx5_9", 1)]
    public void An_event_of_another_port_does_nothing(string device, int port)
    {
        _board.PortDown(device, port);
        Assert.All(_board.Counts(), count => Assert.False(count.IsPausing));
        _board.PortDown("mlx5_0", 1);
        _board.PortUp(device, port);
        Assert.True(_board.Counts()[0].IsPausing);
    }

    [Fact]
    public void A_second_event_that_a_port_is_up_does_nothing()
    {
        _board.Arrived(Place(OnlyFirst));
        _board.PortUp("mlx5_0", 1);
        Assert.False(Place(OnlyFirst).IsProbe);
    }

    [Fact]
    public void When_all_pause_the_earliest_probe_is_told()
    {
        _board.Failed(Place(new RailChoice([1], [])));
        _time.Advance(TimeSpan.FromMilliseconds(40));
        _board.Failed(Place(OnlyFirst));
        Assert.Equal(TimeSpan.FromMilliseconds(60), RefusedFor(_both));
        Assert.Equal(TimeSpan.FromMilliseconds(60), RefusedFor(new RailChoice([0], [1])));
        _time.Advance(TimeSpan.FromMilliseconds(60));
        Assert.Equal(1, Place(_both).Rail);
    }

    [Fact]
    public void Without_rails_nothing_is_placed()
    {
        Assert.False(_board.TryPlace(new RailChoice([], []), Slice, out _, out _));
    }

    [Fact]
    public void Nothing_is_allocated_for_a_slice()
    {
        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 1_000; i++)
            {
                _board.TryPlace(_both, Slice, out var slice, out _);
                _board.Arrived(slice);
            }
        }));
    }

    private static RailChoice OnlyFirst { get; } = new([0], []);

    private RailSlice Place(RailChoice choice)
    {
        Assert.True(_board.TryPlace(choice, Slice, out var slice, out _));
        return slice;
    }

    private TimeSpan RefusedFor(RailChoice choice)
    {
        Assert.False(_board.TryPlace(choice, Slice, out _, out var retryAfter));
        return retryAfter;
    }

    private void Measure(int rail, TimeSpan took)
    {
        var slice = Place(new RailChoice([rail], []));
        _time.Advance(took);
        _board.Arrived(slice);
    }

    /// <summary>Lets the first rail's pause pass, and its probe arrive.</summary>
    private void Recover()
    {
        _time.Advance(RefusedFor(OnlyFirst));
        var probe = Place(OnlyFirst);
        Assert.True(probe.IsProbe);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        _board.Arrived(probe);
    }

    /// <summary>
    /// Carries slices over rails of which the one or the other is served, the more often the more it has in flight, a
    /// few slices at a time.
    /// </summary>
    private double ShareOfFirst(RailBoard board, Random random, int slices, int inFlight)
    {
        var queues = new[] { new Queue<RailSlice>(), new Queue<RailSlice>() };
        int first = 0;
        for (int given = 0, arrived = 0; arrived < slices;)
        {
            while (given < slices && queues[0].Count + queues[1].Count < inFlight)
            {
                Assert.True(board.TryPlace(_both, Slice, out var slice, out _));
                queues[slice.Rail].Enqueue(slice);
                given++;
            }

            int served = random.Next(queues[0].Count + queues[1].Count) < queues[0].Count ? 0 : 1;
            for (int burst = random.Next(1, 8); burst > 0 && queues[served].Count > 0; burst--, arrived++)
            {
                _time.Advance(TimeSpan.FromMicroseconds(100));
                board.Arrived(queues[served].Dequeue());
                first += served == 0 ? 1 : 0;
            }
        }

        return (double)first / slices;
    }

    /// <summary>Carries slices over rails that send one after the other, with so many on their way at most.</summary>
    private RailCount[] Carry(int slices, int inFlight, double[] bytesPerSecond)
    {
        var queues = new[] { new Queue<RailSlice>(), new Queue<RailSlice>() };
        var doneAt = new TimeSpan[2];
        var onTheirWay = 0;
        for (int given = 0, arrived = 0; arrived < slices;)
        {
            for (; given < slices && onTheirWay < inFlight; given++, onTheirWay++)
            {
                var slice = Place(_both);
                if (queues[slice.Rail].Count == 0)
                    doneAt[slice.Rail] = _time.Elapsed + Takes(slice.Rail);
                queues[slice.Rail].Enqueue(slice);
            }

            int next = queues[1].Count == 0 || (queues[0].Count > 0 && doneAt[0] <= doneAt[1]) ? 0 : 1;
            _time.Advance(doneAt[next] - _time.Elapsed);
            _board.Arrived(queues[next].Dequeue());
            doneAt[next] += Takes(next);
            arrived++;
            onTheirWay--;
        }

        return _board.Counts();

        TimeSpan Takes(int rail) => TimeSpan.FromSeconds(Slice / bytesPerSecond[rail]);
    }
}
