// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Cuda.Copies;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>A device that stalls holds up nobody for longer than it may, and is not called again.</summary>
public sealed class StallTests
{
    private const int Chunk = CopyLane.SlotBytes;
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Theory]
    [InlineData("read", 0)]
    [InlineData("read", 3)]
    [InlineData("write", 0)]
    [InlineData("write", 5)]
    [InlineData("copy", 0)]
    public void A_copy_ends_in_time_and_its_device_is_lost(string kind, int after)
    {
        using var cuda = new CudaDouble();
        var memory = cuda.Open();
        var block = memory.Block(6 * Chunk);
        var target = memory.Block(6 * Chunk);
        var healthy = memory.Block(Chunk, "cuda:1");
        cuda.Stall(0, after);
        var clock = Stopwatch.StartNew();
        var outcome = kind switch
        {
            "read" => memory.Read([block.All()], new TakenBytes(6 * Chunk), default, Short),
            "write" => memory.Write([block.All()], new GivenBytes(new byte[6 * Chunk]), default, Short),
            _ => memory.Copy(block.All(), target.Address, default, Short),
        };
        Assert.InRange(clock.Elapsed, Short, Soon);
        Bytes.Is(DeviceEnd.Late, outcome);
        Assert.Equal((MeshErrorCode.Device, "cuda:0: a copy has not ended within 100 ms; the device counts as lost and "
            + "is not called again"), (outcome.Error!.Code, outcome.Error.Message));

        long calls = CallsButPointers(cuda);
        Assert.All(Refusals(memory, block, target), error => Assert.Equal(outcome.Error, error));
        Assert.Equal(calls, CallsButPointers(cuda));
        Bytes.Is(DeviceEnd.Done, memory.Read([healthy.All()], new TakenBytes(Chunk), default, Soon));

        block.Dispose();
        target.Dispose();
        healthy.Dispose();
        memory.Dispose();
        // What was on its way may still arrive: its stream, marks and memory are there, and so is what they are of.
        Assert.Equal("c1 b2 h1 s1 e3", cuda.Left);
        cuda.GoOn(0);
    }

    [Fact]
    public void No_memory_of_a_caller_changes_after_a_read_that_was_late()
    {
        using var cuda = new CudaDouble();
        var memory = cuda.Open();
        var block = memory.Block(4 * Chunk);
        cuda.Poke(block.Address, Bytes.Mixed(4 * Chunk));
        cuda.Stall(0, 1);
        var sink = new TakenBytes(4 * Chunk);
        Bytes.Is(DeviceEnd.Late, memory.Read([block.All()], sink, default, Short));
        Assert.Equal(0, sink.Taken);
        cuda.GoOn(0);
        Assert.True(SpinWait.SpinUntil(() => cuda.Copies >= 3, Soon));
        Assert.Equal(-1, sink.Bytes.AsSpan().IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void A_peer_copy_that_is_late_costs_both_devices()
    {
        using var cuda = new CudaDouble();
        var memory = cuda.Open();
        var from = memory.Block(Chunk);
        var to = memory.Block(Chunk, "cuda:1");
        cuda.Stall(0);
        Bytes.Is(DeviceEnd.Late, memory.Copy(from.All(), to.Address, default, Short));
        Assert.StartsWith("cuda:1: a copy has not ended", memory.UsageOf("cuda:1").Error!.Message);
        cuda.GoOn(0);
    }

    [Fact]
    public async Task Others_go_on_while_one_waits()
    {
        using var cuda = new CudaDouble();
        var time = new ManualTimeProvider();
        var memory = cuda.Open(time);
        var block = memory.Block(Chunk);
        using var healthy = memory.Block(4 * Chunk, "cuda:1");
        long queries = cuda.Calls("cuEventQuery");
        cuda.Stall(0);
        var late = Task.Factory.StartNew(
            () => memory.Read([block.All()], new TakenBytes(Chunk), default, TimeSpan.FromHours(1)),
            TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Assert.True(SpinWait.SpinUntil(() => cuda.Calls("cuEventQuery") > queries + 10, Soon));
        for (int i = 0; i < 20; i++)
            Bytes.Is(DeviceEnd.Done, memory.Read([healthy.All()], new TakenBytes(4 * Chunk), default, Soon));
        Assert.Equal("cuda:0", memory.LocationOf(block.All()));
        Assert.True(memory.UsageOf("cuda:0").Succeeded);
        Assert.False(late.IsCompleted);
        Bytes.Is(DeviceEnd.Late, await EndedAsync(late, time));
        cuda.GoOn(0);
    }

    [Fact]
    public async Task Who_finds_no_lane_is_late_and_costs_nothing()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        using (var block = memory.Block(Chunk))
        {
            using var go = new ManualResetEventSlim();
            using var inside = new CountdownEvent(LanePool.Most);
            Task[] busy = [.. Enumerable.Range(0, LanePool.Most).Select(_ => Task.Factory.StartNew(() =>
            {
                var sink = new TakenBytes(Chunk, onTake: _ =>
                {
                    inside.Signal();
                    go.Wait();
                });
                Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], sink, default, Soon));
            }, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
            Assert.True(inside.Wait(Soon, TestContext.Current.CancellationToken));
            var outcome = memory.Read([block.All()], new TakenBytes(Chunk), default, Short);
            Bytes.Is(DeviceEnd.Late, outcome);
            Assert.Equal("cuda:0: 8 copies are under way, and none of them has ended within 100 ms; nothing was copied",
                outcome.Error!.Message);
            go.Set();
            await Task.WhenAll(busy);
            Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], new TakenBytes(Chunk), default, Soon));
            Assert.Equal(LanePool.Most, cuda.Alive('h'));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public async Task Who_waits_for_a_lane_of_a_device_that_is_lost_is_told_so()
    {
        using var cuda = new CudaDouble();
        var memory = cuda.Open();
        var block = memory.Block(Chunk);
        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], new TakenBytes(Chunk), default, Soon));
        cuda.Stall(0);
        Task<DeviceOutcome>[] copies = [.. Enumerable.Range(0, LanePool.Most + 4).Select(i => Task.Factory.StartNew(
            () => memory.Read([block.All()], new TakenBytes(Chunk), default, Short * (1 + i)),
            TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        DeviceOutcome[] ends = await Task.WhenAll(copies);
        Assert.All(ends, end => Assert.NotEqual(DeviceEnd.Done, end.End));
        Assert.InRange(cuda.Alive('s'), 1, LanePool.Most);
        string loss = memory.UsageOf("cuda:0").Error!.Message;
        // At least those that found no lane; who comes late to the test is told so, too.
        int told = ends.Count(end => end.End == DeviceEnd.Failed && end.Error!.Message == loss);
        Assert.InRange(told, 4, ends.Length - 1);
        cuda.GoOn(0);
    }

    [Fact]
    public void A_copy_without_time_is_not_begun()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(Chunk);
        Bytes.Is(DeviceEnd.Late, memory.Read([block.All()], new TakenBytes(Chunk), default, TimeSpan.Zero));
        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], new TakenBytes(Chunk), default, Soon));
    }

    [Fact]
    public void A_slow_sink_is_not_the_devices_fault()
    {
        using var cuda = new CudaDouble();
        var time = new ManualTimeProvider();
        using var memory = cuda.Open(time);
        using var block = memory.Block(6 * Chunk);
        var sink = new TakenBytes(6 * Chunk, onTake: _ => time.Advance(TimeSpan.FromHours(1)));
        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], sink, default, Short));
        var source = new GivenBytes(new byte[6 * Chunk], onFill: _ => time.Advance(TimeSpan.FromHours(1)));
        Bytes.Is(DeviceEnd.Done, memory.Write([block.All()], source, default, Short));
    }

    [Fact]
    public async Task The_limit_runs_on_the_clock_that_was_given()
    {
        using var cuda = new CudaDouble();
        var time = new ManualTimeProvider();
        var memory = cuda.Open(time);
        var block = memory.Block(Chunk);
        cuda.Stall(0);
        var late = Task.Factory.StartNew(
            () => memory.Read([block.All()], new TakenBytes(Chunk), default, TimeSpan.FromHours(5)),
            TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Assert.NotSame(late, await Task.WhenAny(late, Task.Delay(Short, TestContext.Current.CancellationToken)));
        Bytes.Is(DeviceEnd.Late, await EndedAsync(late, time));
        cuda.GoOn(0);
    }

    [Fact]
    public void Zeroing_that_does_not_end_is_named()
    {
        using var cuda = new CudaDouble();
        var time = new AheadTime();
        var memory = cuda.Open(time);
        cuda.Stall(0);
        var refused = memory.Allocate("cuda:0", Chunk);
        Assert.Equal("cuda:0: a copy has not ended within 30000 ms; the device counts as lost and is not called again",
            refused.Error?.Message);
        memory.Dispose();
        cuda.GoOn(0);
    }

    /// <summary>What a wait begins with is not known: so the clock is set on again and again.</summary>
    private static async Task<DeviceOutcome> EndedAsync(Task<DeviceOutcome> late, ManualTimeProvider time)
    {
        while (!late.IsCompleted)
        {
            time.Advance(TimeSpan.FromHours(1));
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        return await late;
    }

    private static IEnumerable<MeshError?> Refusals(CudaMemory memory, IDeviceBlock block, IDeviceBlock target)
    {
        yield return memory.Read([block.All()], new TakenBytes(0), default, Soon).Error;
        yield return memory.Write([block.All()], new GivenBytes([]), default, Soon).Error;
        yield return memory.Copy(block.All(), target.Address, default, Soon).Error;
        yield return memory.Allocate("cuda:0", 1).Error;
        yield return memory.OpenShared("cuda:0", new byte[64], 1).Error;
        yield return memory.UsageOf("cuda:0").Error;
        yield return memory.CapabilitiesOf("cuda:0").Error;
        yield return memory.FlushWrites("cuda:0");
        yield return block.Share().Error;
        yield return memory.ExportDmaBuf(new DeviceRange(block.Address, 4096)).Error;
    }

    /// <summary>Where an address lies is asked of the driver alone: it does not wait for a device.</summary>
    private static long CallsButPointers(CudaDouble cuda) => cuda.AllCalls - cuda.Calls("cuPointerGetAttributes");

    /// <summary>A clock on which every look costs a second.</summary>
    private sealed class AheadTime : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => Interlocked.Increment(ref _now);
    }
}
