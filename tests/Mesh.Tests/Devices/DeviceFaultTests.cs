// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Devices that fail, stall, or lose what is being read.</summary>
public sealed class DeviceFaultTests
{
    private const int Size = 1 << 20;
    private static readonly MeshKey Key = new("a");
    private static readonly MeshError Broken = new(MeshErrorCode.Device, "device", "the double is broken");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Caller.Embedded, Size)]
    [InlineData(Caller.Embedded, 1_000)]
    [InlineData(Caller.SameHost, Size)]
    [InlineData(Caller.NoDevices, Size)]
    [InlineData(Caller.NoDevices, 1_000)]
    [InlineData(Caller.Remote, Size)]
    public async Task A_holders_device_that_fails_while_it_is_read_is_named_and_the_next_get_is_whole(Caller who,
        int size)
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0");
        var (caller, devices) = await world.CallerAsync(who);
        byte[] value = DeviceWorld.Value(size);
        await caller.PutAsync(Key, value, DeviceWorld.Put, Cancel);
        foreach (int chunks in (int[])[0, 1])
        {
            if (chunks > 0 && size < 100_000)
                continue;
            devices.FaultAfterChunks = world.Devices.FaultAfterChunks = chunks;
            devices.Fault = world.Devices.Fault = Broken;
            using var target = new ArrayTarget();
            var got = await caller.GetAsync(Key, target, new GetOptions { Deadline = TimeSpan.FromSeconds(20) },
                Cancel);
            Assert.False(got.Succeeded);
            Assert.True(got.Error!.Code is MeshErrorCode.Device or MeshErrorCode.Unavailable, got.Error.ToString());
            if (chunks == 0 && size == Size)
                Assert.Equal(MeshErrorCode.Device, got.Error.Code);
            devices.Fault = world.Devices.Fault = null;
            Assert.Equal(value, await world.GetAsync(caller, Key));
        }

        await NothingIsHeldAsync(world);
    }

    [Theory]
    [InlineData(Caller.Embedded, Size)]
    [InlineData(Caller.Embedded, 1_000)]
    [InlineData(Caller.NoDevices, Size)]
    [InlineData(Caller.NoDevices, 1_000)]
    public async Task A_holders_device_that_fails_while_it_is_written_stores_nothing(Caller who, int size)
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0");
        var (caller, _) = await world.CallerAsync(who);
        world.Devices.Fault = Broken;
        byte[] value = DeviceWorld.Value(size);
        var put = await caller.PutAsync(Key, value, new PutOptions { Deadline = TimeSpan.FromSeconds(4) }, Cancel);
        // The last try has what the others have left of the time, which may be next to nothing.
        Assert.True(put.Error?.Code is MeshErrorCode.Device or MeshErrorCode.DeadlineExceeded, put.Error?.ToString());
        Assert.Matches("a device of holder|the double is broken", put.Error!.Message);
        world.Devices.Fault = null;
        Assert.False((await caller.ExistAsync([Key], DeviceWorld.Long, Cancel))[0].Value);
        Assert.True((await caller.PutAsync(Key, value, DeviceWorld.Put, Cancel)).Succeeded);
        Assert.Equal(value, await world.GetAsync(caller, Key));
        await NothingIsHeldAsync(world);
    }

    [Theory]
    [InlineData(Caller.Embedded, Size)]
    [InlineData(Caller.SameHost, Size)]
    [InlineData(Caller.SameHost, 1_000)]
    [InlineData(Caller.Remote, Size)]
    [InlineData(Caller.Remote, 1_000)]
    public async Task A_callers_device_that_fails_is_named_with_its_reason(Caller who, int size)
    {
        await using var world = await DeviceWorld.StartAsync("cpu:0");
        var (caller, devices) = await world.CallerAsync(who);
        byte[] value = DeviceWorld.Value(size);
        var (_, range) = DeviceWorld.Buffer(devices, value);
        devices.Fault = Broken;
        var put = await caller.PutAsync(Key, range, DeviceWorld.Put, Cancel);
        Assert.Equal(MeshErrorCode.Device, put.Error?.Code);
        Assert.Contains("the double is broken", put.Error!.Message, StringComparison.Ordinal);
        devices.Fault = null;
        Assert.True((await caller.PutAsync(Key, range, DeviceWorld.Put, Cancel)).Succeeded);
        devices.Fault = Broken;
        var got = await caller.GetAsync(Key, new RangeTarget(range), DeviceWorld.Get, Cancel);
        Assert.Equal(MeshErrorCode.Device, got.Error?.Code);
        Assert.Contains("the double is broken", got.Error!.Message, StringComparison.Ordinal);
        devices.Fault = null;
        Assert.Equal(value, await world.GetAsync(caller, Key));
        await NothingIsHeldAsync(world);
    }

    [Theory]
    [InlineData(Caller.Embedded)]
    [InlineData(Caller.SameHost)]
    [InlineData(Caller.NoDevices)]
    public async Task A_device_that_stands_still_ends_calls_by_their_deadline_and_holds_up_no_other(Caller who)
    {
        await using var world = await DeviceWorld.StartAsync(
            new SegmentOptions { Length = 8 << 20, Location = "cuda:0" },
            new SegmentOptions { Length = 8 << 20, Location = "cuda:1" });
        var (caller, devices) = await world.CallerAsync(who);
        byte[] value = DeviceWorld.Value(Size);
        var keys = Enumerable.Range(0, 6).Select(i => new MeshKey($"k{i}")).ToArray();
        foreach (var key in keys)
            Assert.True((await caller.PutAsync(key, value, DeviceWorld.Put, Cancel)).Succeeded);
        var located = await caller.LocateAsync(keys, DeviceWorld.Long, Cancel);
        int stuck = Enumerable.Range(0, 6).First(i => located.RecordOf(i)!.Replicas[0].SegmentId == 0);
        int free = Enumerable.Range(0, 6).First(i => located.RecordOf(i)!.Replicas[0].SegmentId == 1);

        devices.Stalled = world.Devices.Stalled = "cuda:0";
        var limit = new GetOptions { Deadline = TimeSpan.FromSeconds(2) };
        long start = Environment.TickCount64;
        var late = Enumerable.Range(0, 8).Select(_ => GetAsync(caller, keys[stuck], limit)).ToArray();
        for (int i = 0; i < 5; i++)
            Assert.Equal(value, await world.GetAsync(caller, keys[free]));
        Assert.True((await caller.ExistAsync(keys, DeviceWorld.Long, Cancel)).All(found => found.Value));
        Assert.Contains(late, get => !get.IsCompleted);
        foreach (var ended in await Task.WhenAll(late))
        {
            Assert.True(ended.Error!.Code is MeshErrorCode.DeadlineExceeded or MeshErrorCode.Device,
                ended.Error.ToString());
        }

        Assert.InRange(Environment.TickCount64 - start, 0, 20_000);
        devices.Stalled = world.Devices.Stalled = null;
    }

    [Fact]
    public async Task A_short_deadline_does_not_make_a_device_count_as_lost()
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0");
        var (caller, devices) = await world.CallerAsync(Caller.Embedded);
        await caller.PutAsync(Key, DeviceWorld.Value(Size), DeviceWorld.Put, Cancel);
        await GetAsync(caller, Key, new GetOptions { Deadline = TimeSpan.FromMilliseconds(200) });
        Assert.True(devices.LastTimeout >= TimeSpan.FromSeconds(1), devices.LastTimeout.ToString());
    }

    [Theory]
    [InlineData(Caller.Embedded)]
    [InlineData(Caller.NoDevices)]
    public async Task What_is_removed_while_it_is_read_keeps_its_bytes_until_the_read_ends(Caller who)
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0", 2 << 20);
        var (caller, _) = await world.CallerAsync(who);
        byte[] value = DeviceWorld.Value(Size);
        await caller.PutAsync(Key, value, DeviceWorld.Put, Cancel);
        using var reading = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        world.Devices.BeforeChunk = at =>
        {
            if (at == 0)
                return;
            world.Devices.BeforeChunk = null;
            reading.Set();
            go.Wait(Cancel);
        };
        using var target = new ArrayTarget();
        var got = caller.GetAsync(Key, target, DeviceWorld.Get, Cancel);
        reading.Wait(Cancel);
        var remover = (await world.CallerAsync(Caller.NoDevices)).Operations;
        Assert.True((await remover.RemoveAsync(Key, DeviceWorld.Long, Cancel)).Value);
        Assert.Equal((0, Size), (world.Store.Usage.Live, world.Store.Usage.Zombie));
        Assert.True((await remover.PutAsync(new MeshKey("b"), DeviceWorld.Value(Size), DeviceWorld.Put, Cancel))
            .Succeeded);
        go.Set();
        Assert.True((await got).Succeeded);
        Assert.Equal(value, target.Array);
        await NothingIsHeldAsync(world);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_reader_of_shared_device_memory_finds_a_word_that_changed(bool intoDevice)
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0", 2 << 20);
        var (caller, devices) = await world.CallerAsync(Caller.SameHost);
        byte[] value = DeviceWorld.Value(Size);
        byte[] other = DeviceWorld.Value(Size + 1);
        await caller.PutAsync(Key, value, DeviceWorld.Put, Cancel);
        var (block, range) = DeviceWorld.Buffer(devices, new byte[Size]);
        bool replaced = false;
        devices.BeforeChunk = at =>
        {
            if (at == 0 || replaced)
                return;
            replaced = true;
            world.Node().RemoveAsync(Key, DeviceWorld.Long, Cancel).Wait(Cancel);
            // Two of it fill the segment: the extent that is being read is another object's now.
            world.Node().PutAsync(new MeshKey("b"), other.AsMemory(0, Size), DeviceWorld.Put, Cancel).Wait(Cancel);
            world.Node().PutAsync(new MeshKey("c"), other.AsMemory(0, Size), DeviceWorld.Put, Cancel).Wait(Cancel);
        };
        using var target = new ArrayTarget();
        var got = await caller.GetAsync(Key, intoDevice ? new RangeTarget(range) : target, DeviceWorld.Get, Cancel);
        Assert.True(replaced);
        Assert.Equal(MeshErrorCode.NotFound, got.Error?.Code);
        Assert.Equal(1, caller.StaleReads);
        Assert.Equal(0, caller.CorruptReads);
        block.Dispose();
    }

    [Fact]
    public async Task Eviction_makes_room_in_memory_of_a_device()
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0", 4 << 20);
        var (caller, _) = await world.CallerAsync(Caller.NoDevices);
        for (int i = 0; i < 12; i++)
        {
            var put = await caller.PutAsync(new MeshKey($"{i}"), DeviceWorld.Value(Size + i), DeviceWorld.Put, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
        }

        Assert.Equal(DeviceWorld.Value(Size + 11), await world.GetAsync(caller, new MeshKey("11")));
        Assert.InRange(world.Store.Usage.Objects, 1, 3);
        await NothingIsHeldAsync(world);
    }

    [Fact]
    public async Task A_node_that_ends_gives_every_block_back()
    {
        var world = await DeviceWorld.StartAsync("cuda:0");
        var (caller, devices) = await world.CallerAsync(Caller.SameHost);
        await caller.PutAsync(Key, DeviceWorld.Value(Size), DeviceWorld.Put, Cancel);
        await world.GetAsync(caller, Key);
        Assert.Equal((1, 1), (world.Devices.Live, devices.Live));
        await world.DisposeAsync();
        Assert.Equal((0, 0), (world.Devices.Live, devices.Live));
    }

    [Fact]
    public async Task A_segment_that_cannot_be_shared_is_read_over_a_socket()
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0");
        world.Devices.Shares = false;
        var (caller, _) = await world.CallerAsync(Caller.SameHost);
        byte[] value = DeviceWorld.Value(Size);
        await caller.PutAsync(Key, value, DeviceWorld.Put, Cancel);
        Assert.Equal(value, await world.GetAsync(caller, Key));
        Assert.Equal(Size, DeviceWorld.Moved(caller, "tcp").Read);
    }

    private static async Task<MeshResult<long>> GetAsync(MeshOperations caller, MeshKey key, GetOptions options)
    {
        using var target = new ArrayTarget();
        return await caller.GetAsync(key, target, options, Cancel);
    }

    private static async Task NothingIsHeldAsync(DeviceWorld world)
    {
        while (world.Store.Usage is { Filling: > 0 } or { Zombie: > 0 })
            await Task.Delay(5, Cancel);
    }
}
