// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>What goes over two devices: each carries its share, and one carries all while the other is gone.</summary>
[Collection(RealDevices.Name)]
public sealed class RailsDeviceTests
{
    private const int Slice = 64 << 10;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(30);

    public RailsDeviceTests() => RealDevices.SkipUnlessOurs();

    [Fact]
    public async Task A_batch_of_reads_and_writes_runs_over_both_devices_evenly()
    {
        const int Slices = 1024, Batches = 5;
        await using var pair = await EnginePair.OpenAsync(Slices * Slice);
        var bytes = new MixedBytes(pair, Slice);
        double[] shares = new double[Batches];
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Batches; i++)
            shares[i] = await ShareOfFirstAsync(pair, bytes, Slices);
        Say($"{Batches} times {Slices * Slice >> 20} MiB, filled, moved and compared in "
            + $"{Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s: rxe0 "
            + $"{string.Join(", ", shares.Select(share => $"{share:0}"))} %");
        // The kernel, which is both devices, at times serves one for a second and hardly the other: so the median.
        Assert.InRange(shares.Order().ElementAt(Batches / 2), 35, 65);
    }

    [Fact]
    public async Task Memory_goes_over_the_device_that_its_location_prefers_and_over_the_other_while_that_is_down()
    {
        const int Slices = 64;
        var options = new RdmaOptions
        {
            Topology = """{"cpu:0":[["rxe1"],["rxe0"]]}""",
            RelaxedOrdering = true,
        };
        await using var pair = await EnginePair.OpenAsync(Slices * Slice, options);
        await using var nic = new BrokenNic(1, "up");
        var bytes = new MixedBytes(pair, Slice);
        // Until the preferred one has its queue pairs the other may serve.
        for (int i = 0; pair.Carried()[1] == 0; i++)
        {
            Assert.True(i < 100, "the preferred device carries nothing");
            await ShareOfFirstAsync(pair, bytes, Slices);
        }

        Assert.Equal(0, await ShareOfFirstAsync(pair, bytes, Slices));
        await nic.BreakAsync("down");
        await EnginePair.UntilAsync(() => pair.Near.Cards.LifeOf(1) is not { IsUp: true }, "it is down", Long);
        Assert.Equal(100, await ShareOfFirstAsync(pair, bytes, Slices));
    }

    [Theory]
    [InlineData("down", "up")]
    [InlineData("delete", "add")]
    public async Task A_device_that_goes_under_way_is_done_without_and_is_used_again_when_it_is_back(string breaks,
        string mends)
    {
        const int Slices = 32;
        await using var pair = await EnginePair.OpenAsync(Mover.Places * Slices * Slice);
        await using var nic = new BrokenNic(1, mends);
        var mover = new Mover(pair, Slices);
        long[] before;
        for (int i = 0; Lost() == 0; i++)
        {
            // Nearly always there is something on its way over it when it goes.
            Assert.True(i < 4, "the device always went between two transfers");
            await nic.MendAsync();
            before = pair.Carried();
            await mover.UntilAsync(() => pair.Carried()[0] > before[0] && pair.Carried()[1] > before[1]);
            var going = nic.BreakAsync(breaks);
            await mover.UntilAsync(() => going.IsCompleted && pair.Near.Cards.LifeOf(1) is not { IsUp: true });
            await going;
        }

        before = pair.Carried();
        await mover.UntilAsync(() => true);
        Assert.Equal(100, ShareOf(before, pair.Carried()));
        Say($"{breaks}: {mover.Moved} batches of {Slices * Slice >> 20} MiB, the longest {mover.Longest:0.00} s, "
            + $"{Lost()} slices sent again");

        await nic.MendAsync();
        long back = Stopwatch.GetTimestamp();
        double share, seconds;
        do
        {
            before = pair.Carried();
            await mover.UntilAsync(() => true);
            share = ShareOf(before, pair.Carried());
            seconds = Stopwatch.GetElapsedTime(back).TotalSeconds;
            Assert.True(seconds < 10, $"rxe0 carries {share:0} % after {seconds:0.0} s");
        }
        while (share is < 35 or > 65);
        Say($"{mends}: after {seconds:0.0} s rxe0 {share:0} %, rxe1 {100 - share:0} %; {mover.Moved} batches, the "
            + $"longest {mover.Longest:0.00} s");

        long Lost() => pair.Near.Counts().ElementAt(1).Errors;
    }

    private static async Task<double> ShareOfFirstAsync(EnginePair pair, MixedBytes bytes, int slices)
    {
        bytes.Fill(0, slices);
        long[] before = pair.Carried();
        Assert.Equal(TransferOutcome.Done, await pair.Peer.RunAsync(pair.Mixed(0, slices, Slice)));
        bytes.AssertMoved(0, slices);
        return ShareOf(before, pair.Carried());
    }

    private static void Say(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);

    /// <summary>Percent of the bytes between the two counts that the first card carried.</summary>
    private static double ShareOf(long[] before, long[] after)
    {
        Assert.Equal(2, after.Length);
        long first = after[0] - before[0], second = after[1] - before[1];
        return 100.0 * first / (first + second);
    }

    /// <summary>Moves one batch after the other in each part of the memories, and looks at what has come.</summary>
    private sealed class Mover(EnginePair pair, int slices)
    {
        internal const int Places = 4;
        private readonly Lock _gate = new();
        private readonly MixedBytes _bytes = new(pair, Slice);

        internal int Moved { get; private set; }

        /// <summary>The longest that a batch took, in seconds.</summary>
        internal double Longest { get; private set; }

        /// <summary>Moves at least one batch in each part, and on until something is so.</summary>
        internal async Task UntilAsync(Func<bool> isSo)
        {
            using var limit = new CancellationTokenSource(Long);
            await Task.WhenAll(Enumerable.Range(0, Places).Select(place => Task.Run(async () =>
            {
                do
                {
                    await MoveAsync(place * slices);
                    Assert.False(limit.IsCancellationRequested, $"goes on after {Long}");
                }
                while (!isSo());
            })));
        }

        private async Task MoveAsync(int first)
        {
            _bytes.Fill(first, slices);
            long start = Stopwatch.GetTimestamp();
            var ended = pair.Peer.RunAsync(pair.Mixed(first, slices, Slice));
            await EnginePair.UntilAsync(() => ended.IsCompleted, "a batch has ended", Long);
            Assert.Equal(TransferOutcome.Done, await ended);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            _bytes.AssertMoved(first, slices);
            lock (_gate)
            {
                Moved++;
                Longest = Math.Max(Longest, seconds);
            }
        }
    }
}
