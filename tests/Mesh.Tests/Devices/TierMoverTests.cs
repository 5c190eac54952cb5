// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Objects of a node that move between memory of the host, segment 0, and of "cuda:0", segment 1.</summary>
public sealed class TierMoverTests
{
    private const int Size = (1 << 20) - 100;
    private const int Room = 1 << 20;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_a_full_device_gives_up_lies_in_the_hosts_memory_byte_for_byte()
    {
        await using var world = await StartAsync(16, 4, new TierOptions { Place = TierPlace.Vram });
        var (caller, _) = await world.CallerAsync(Caller.Remote);
        var keys = await FillAsync(caller, 8);
        // One of four keeps more than 1 % free.
        await DeviceWorld.UntilAsync(() => FreeAt(world, Tier.Vram) == Room
            && Counters(world) is { Demotions: >= 1 and <= 5 } c && c.DemotedBytes == c.Demotions * Size);
        Assert.Equal(3, (await PlacesAsync(caller, keys)).Sum());
        Assert.Equal((0, 0), (Counters(world).Failures, Counters(world).Overtaken));
        for (int i = 0; i < keys.Length; i++)
        {
            Assert.Equal(Value(i), await world.GetAsync(caller, keys[i]));
            Assert.Equal(Value(i), await world.GetAsync(world.Node(), keys[i]));
        }

        // Copies in the host's memory can be mapped.
        int moved = (await PlacesAsync(caller, keys)).IndexOf(0);
        using var view = (await world.Node().ViewAsync(keys[moved], new ViewOptions { Deadline = DeviceWorld.Long },
            Cancel)).Value;
        Assert.Equal(8, world.Store.Usage.Objects);
        Assert.Equal(world.Store.Usage.Capacity, world.Store.Usage.Used + world.Store.Usage.Free);
        Assert.Equal(0, caller.CorruptReads);
    }

    [Fact]
    public async Task What_is_read_into_a_device_twice_moves_there_and_nothing_else_does()
    {
        await using var world = await StartAsync(16, 4, new TierOptions());
        var (remote, _) = await world.CallerAsync(Caller.Remote);
        var keys = await FillAsync(remote, 3);
        for (int i = 0; i < 4; i++)
        {
            await world.GetAsync(world.Node(), keys[0]);
            await world.GetAsync(remote, keys[0]);
        }

        await ReadIntoDeviceAsync(world, keys[1], 1);
        await ReadIntoDeviceAsync(world, keys[2], 2);
        await ReadIntoDeviceAsync(world, keys[2], 2);
        await DeviceWorld.UntilAsync(() => Counters(world).Promotions == 1);
        Assert.Equal([0, 0, 1], await PlacesAsync(remote, keys));
        Assert.Equal((Size, 0), (Counters(world).PromotedBytes, Counters(world).Demotions));
        var status = world.World.Node.Status();
        Assert.Equal(["dram", "vram"], status.Tiers.Select(tier => tier.Tier));
        Assert.Equal(0, status.Tiers[1].Capacity - status.Tiers[1].Used - status.Tiers[1].Free);
        Assert.Equal(Room, status.Tiers[1].Used);
        Assert.Equal(1, status.Counters["promotions"]);
        for (int i = 0; i < keys.Length; i++)
        {
            Assert.Equal(Value(i), await world.GetAsync(remote, keys[i]));
            await ReadIntoDeviceAsync(world, keys[i], i);
        }
    }

    [Fact]
    public async Task What_is_hot_takes_the_place_of_what_is_cold()
    {
        await using var world = await StartAsync(4, 2, new TierOptions());
        var (remote, _) = await world.CallerAsync(Caller.Remote);
        var keys = await FillAsync(remote, 6);
        Assert.Equal([0, 0, 0, 0, 1, 1], await PlacesAsync(remote, keys));
        Assert.True((await remote.RemoveAsync(keys[3], DeviceWorld.Long, Cancel)).Value);
        // The background makes the room that a promotion needs, or the promotion does.
        await ReadIntoDeviceAsync(world, keys[0], 0);
        await ReadIntoDeviceAsync(world, keys[0], 0);
        await DeviceWorld.UntilAsync(() => Counters(world) is { Promotions: 1, Demotions: >= 1 });
        var places = await PlacesAsync(remote, [keys[0], keys[4], keys[5]]);
        Assert.Equal(1, places[0]);
        Assert.Contains(0, places[1..]);
        foreach (int i in (int[])[0, 1, 2, 4, 5])
            Assert.Equal(Value(i), await world.GetAsync(remote, keys[i]));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_is_removed_or_replaced_while_it_moves_stays_so(bool replace)
    {
        await using var world = await StartAsync(16, 1, new TierOptions { Place = TierPlace.Vram });
        var (caller, _) = await world.CallerAsync(Caller.Remote);
        using var move = new HeldChunk(world.Devices);
        move.Arm();
        var keys = await FillAsync(caller, 1);
        move.WaitFor();
        if (replace)
        {
            var put = await caller.PutAsync(keys[0], Value(7), DeviceWorld.Put with { Replace = true }, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
        }
        else
        {
            Assert.True((await caller.RemoveAsync(keys[0], DeviceWorld.Long, Cancel)).Value);
        }

        move.Go();
        await DeviceWorld.UntilAsync(() => Counters(world).Overtaken == 1
            && world.Store.Usage.Used == (replace ? Room : 0));
        using var target = new ArrayTarget();
        var got = await caller.GetAsync(keys[0], target, DeviceWorld.Get, Cancel);
        if (replace)
            Assert.Equal(Value(7), target.Array);
        else
            Assert.Equal(MeshErrorCode.NotFound, got.Error?.Code);
        Assert.Equal(0, Counters(world).Failures);
    }

    [Fact]
    public async Task A_copy_that_fails_leaves_the_object_where_it_is()
    {
        await using var world = await StartAsync(16, 1, new TierOptions { Place = TierPlace.Vram });
        var (caller, _) = await world.CallerAsync(Caller.Remote);
        using var move = new HeldChunk(world.Devices);
        move.Arm();
        var keys = await FillAsync(caller, 1);
        move.WaitFor();
        world.Devices.Fault = new MeshError(MeshErrorCode.Device, "device", "a fault of the test");
        move.Go();
        await DeviceWorld.UntilAsync(() => Counters(world).Failures > 0);
        await DeviceWorld.UntilAsync(() => world.Store.Usage.Filling == 0);
        world.Devices.Fault = null;
        // It is tried again.
        await DeviceWorld.UntilAsync(() => Counters(world).Demotions == 1);
        Assert.Equal(Value(0), await world.GetAsync(caller, keys[0]));
    }

    [Fact]
    public async Task Bytes_that_are_not_those_of_the_checksum_stay_where_they_are()
    {
        await using var world = await StartAsync(16, 1, new TierOptions { Place = TierPlace.Vram, Demote = false });
        var (caller, _) = await world.CallerAsync(Caller.Remote);
        var keys = await FillAsync(caller, 1);
        world.Devices.BytesAt(world.Store.Segments[1].Memory.Device!.Address, Size)[Size / 2] ^= 1;
        world.World.Node.Holder.Tiers.Use(new TierOptions { Place = TierPlace.Vram });
        await DeviceWorld.UntilAsync(() => Counters(world).Failures > 0);
        Assert.Equal([1], await PlacesAsync(caller, keys));
        Assert.Equal((0, 0), (Counters(world).Demotions, Counters(world).Overtaken));
        await DeviceWorld.UntilAsync(() => world.Store.Usage.Filling == 0);
    }

    [Fact]
    public async Task A_device_lost_in_the_middle_of_a_move_takes_its_objects_along_and_no_memory()
    {
        await using var world = await StartAsync(16, 2, new TierOptions { Place = TierPlace.Vram });
        var (caller, _) = await world.CallerAsync(Caller.NoDevices);
        var keys = await FillAsync(caller, 1);
        using var move = new HeldChunk(world.Devices);
        move.Arm();
        keys = [.. keys, .. await FillAsync(caller, 1, "last")];
        move.WaitFor();
        world.Devices.Stalled = "cuda:0";
        using (var target = new ArrayTarget())
        {
            var got = await world.Node().GetAsync(keys[1], target,
                new GetOptions { Deadline = TimeSpan.FromSeconds(1) }, Cancel);
            Assert.True(got.Error?.Code is MeshErrorCode.Device or MeshErrorCode.DeadlineExceeded,
                got.Error?.ToString());
        }

        move.Go();
        await DeviceWorld.UntilAsync(() => world.Store.Usage is { Used: 0, Objects: 0 });
        Assert.Equal(1, Counters(world).Failures);
        Assert.Equal((16 * Room) + (Room / 2), world.Store.Usage.Capacity);
        foreach (var key in keys)
        {
            while ((await caller.ExistAsync([key], DeviceWorld.Long, Cancel))[0].Value)
                await Task.Delay(10, Cancel);
        }

        var put = await caller.PutAsync(keys[0], Value(0), DeviceWorld.Put, Cancel);
        Assert.True(put.Succeeded, put.Error?.ToString());
        Assert.Equal(Value(0), await world.GetAsync(caller, keys[0]));
        world.Devices.Stalled = null;
    }

    [Fact]
    public async Task Where_both_tiers_are_full_puts_still_evict()
    {
        await using var world = await StartAsync(2, 2, new TierOptions { Place = TierPlace.Vram });
        var (caller, _) = await world.CallerAsync(Caller.Remote);
        var keys = await FillAsync(caller, 4);
        // An object that moves at that moment has two places.
        Assert.InRange(world.World.Node.Holder.Eviction.Evictions, 0, 1);
        keys = [.. keys, .. await FillAsync(caller, 4, "more")];
        Assert.True(world.World.Node.Holder.Eviction.Evictions >= 4);
        int found = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            using var target = new ArrayTarget();
            var got = await caller.GetAsync(keys[i], target, DeviceWorld.Get, Cancel);
            Assert.True(got.Succeeded || got.Error!.Code == MeshErrorCode.NotFound, got.Error?.ToString());
            found += got.Succeeded ? 1 : 0;
            if (got.Succeeded)
                Assert.Equal(Value(i % 4), target.Array);
        }

        Assert.InRange(found, 1, 4);
    }

    [Fact]
    public async Task A_reader_of_the_old_place_has_clean_bytes_and_one_who_comes_too_late_is_told()
    {
        await using var world = await StartAsync(16, 2, new TierOptions());
        var (caller, _) = await world.CallerAsync(Caller.Remote);
        var keys = await FillAsync(caller, 1);
        Assert.True(world.Store.TryFind(keys[0], out var held));
        var old = held.Extent;
        Assert.True(world.Store.TryPin(old.SegmentId, old.Offset, old.Generation, out var reader));
        await ReadIntoDeviceAsync(world, keys[0], 0);
        await ReadIntoDeviceAsync(world, keys[0], 0);
        await DeviceWorld.UntilAsync(() => Counters(world).Promotions == 1);
        Assert.Equal(Room, world.Store.Usage.Zombie);
        Assert.Equal(Value(0), Host(reader));
        reader.Dispose();
        Assert.Equal(0, world.Store.Usage.Zombie);

        await using var transport = new TcpTransport(world.World.Dialer(sameHost: false));
        using var late = new GuardedMemory(Size);
        var read = new ExtentRead(world.World.Record, old.SegmentId, old.Offset, old.Generation, Size);
        Assert.Equal(TransferOutcome.Stale, await transport.ReadAsync(read, late.Range, DeviceWorld.Long, Cancel));
        Assert.Equal(Value(0), await world.GetAsync(caller, keys[0]));
    }

    [Fact]
    public async Task Readers_find_every_object_and_its_bytes_while_all_of_them_move()
    {
        // Not all are hot at a time, or none would leave for another.
        await using var world = await StartAsync(8, 2, new TierOptions
        {
            PromoteAfter = 1, PromoteWithin = TimeSpan.FromMilliseconds(1),
        });
        var (remote, _) = await world.CallerAsync(Caller.Remote);
        var (sameHost, _) = await world.CallerAsync(Caller.SameHost);
        var keys = await FillAsync(remote, 6);
        using var done = new CancellationTokenSource();
        var readers = new[] { remote, sameHost, world.Node() }.Select(caller => Task.Run(async () =>
        {
            for (int i = 0; !done.IsCancellationRequested; i++)
                Assert.Equal(Value(i % 6), await world.GetAsync(caller, keys[i % 6]));
        })).ToArray();
        for (int i = 0; Counters(world).Promotions < 30; i++)
            await ReadIntoDeviceAsync(world, keys[i % 6], i % 6);
        await done.CancelAsync();
        await Task.WhenAll(readers);
        Assert.True(Counters(world).Demotions > 20);
        Assert.Equal((0, 0), (Counters(world).Failures, Counters(world).Overtaken));
        Assert.Equal((0, 0), (remote.CorruptReads, sameHost.CorruptReads));
        Assert.Equal(6, world.Store.Usage.Objects);
        await DeviceWorld.UntilAsync(() => world.Store.Usage is { Used: 6 * Room, Zombie: 0 });
    }

    [Fact]
    public async Task What_decides_can_be_changed_while_the_node_runs()
    {
        await using var world = await StartAsync(16, 2, new TierOptions { Place = TierPlace.Vram, Demote = false });
        var (caller, _) = await world.CallerAsync(Caller.Remote);
        var keys = await FillAsync(caller, 3);
        Assert.Equal([1, 1, 0], await PlacesAsync(caller, keys));
        NodeChange.Apply(world.World.Node, new MeshNodeOptions
        {
            NodeId = "holder",
            Tiers = new TierOptions { Place = TierPlace.Vram },
        });
        await DeviceWorld.UntilAsync(() => Counters(world).Demotions == 1);
        keys = [.. keys, .. await FillAsync(caller, 1, "later")];
        Assert.Equal(Value(0), await world.GetAsync(caller, keys[^1]));
    }

    /// <summary>Half a place more is there, so that a full node need not evict in the background.</summary>
    private static Task<DeviceWorld> StartAsync(int host, int device, TierOptions tiers) =>
        DeviceWorld.StartTieredAsync(tiers,
        new SegmentOptions { Length = (host * Room) + (Room / 2), HugePages = false, PreTouch = false },
        new SegmentOptions { Length = device * Room, Location = "cuda:0" });

    private static TierCounters Counters(DeviceWorld world) => world.World.Node.Holder.Tiers.Counters;

    private static long FreeAt(DeviceWorld world, Tier tier) => world.Store.Tiers!.RoomOf(tier).Free;

    private static byte[] Value(int i)
    {
        byte[] value = DeviceWorld.Value(Size);
        value[i] ^= 0xFF;
        value[^(i + 1)] ^= 0xFF;
        return value;
    }

    private static async Task<MeshKey[]> FillAsync(MeshOperations caller, int count, string name = "k")
    {
        var keys = new MeshKey[count];
        for (int i = 0; i < count; i++)
        {
            keys[i] = new MeshKey($"{name}{i}");
            var put = await caller.PutAsync(keys[i], Value(i), DeviceWorld.Put, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
        }

        return keys;
    }

    private static async Task ReadIntoDeviceAsync(DeviceWorld world, MeshKey key, int value)
    {
        var (block, to) = DeviceWorld.Buffer(world.Devices, new byte[Size], "cuda:0");
        using (block)
        {
            var got = await world.Node().GetAsync(key, new RangeTarget(to), DeviceWorld.Get, Cancel);
            Assert.True(got.Succeeded, got.Error?.ToString());
            Assert.Equal(Value(value), world.Devices.BytesAt(to.Address, Size).ToArray());
        }
    }

    /// <summary>The segment of each, as the owners say.</summary>
    private static async Task<List<int>> PlacesAsync(MeshOperations caller, MeshKey[] keys)
    {
        var located = await caller.LocateAsync(keys, DeviceWorld.Long, Cancel);
        return [.. keys.Select((_, i) => located.RecordOf(i)!.Replicas[0].SegmentId)];
    }

    private static unsafe byte[] Host(ExtentPin pin)
    {
        Assert.True(pin.Bytes.TryHost(out byte* bytes));
        return new ReadOnlySpan<byte>(bytes, (int)pin.Length).ToArray();
    }

    /// <summary>Holds a move back in its middle: the next one that reads the device.</summary>
    private sealed class HeldChunk(DeviceDouble devices) : IDisposable
    {
        private readonly ManualResetEventSlim _there = new();
        private readonly ManualResetEventSlim _go = new();

        public void Arm() => devices.BeforeChunk = at =>
        {
            if (Thread.CurrentThread.Name?.StartsWith("mesh-device", StringComparison.Ordinal) != true || at == 0)
                return;
            devices.BeforeChunk = null;
            _there.Set();
            _go.Wait(Cancel);
        };

        public void WaitFor() => _there.Wait(Cancel);

        public void Go() => _go.Set();

        public void Dispose()
        {
            _go.Set();
            _there.Dispose();
            _go.Dispose();
        }
    }
}
