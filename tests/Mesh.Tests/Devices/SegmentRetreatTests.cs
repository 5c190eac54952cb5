// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Segments of devices that are lost, or given back.</summary>
public sealed class SegmentRetreatTests
{
    private const int Size = 1 << 20;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lost_device_takes_its_objects_along_and_the_node_goes_on_with_its_other_memory()
    {
        await using var world = await StartAsync();
        var (caller, _) = await world.CallerAsync(Caller.NoDevices);
        var keys = await FillAsync(caller, 6);
        var located = await caller.LocateAsync(keys, DeviceWorld.Long, Cancel);
        bool[] lost = [.. keys.Select((_, i) => located.RecordOf(i)!.Replicas[0].SegmentId == 1)];
        Assert.Contains(true, lost);
        world.Devices.Stalled = "cuda:0";
        using (var target = new ArrayTarget())
        {
            // The node itself waits for its device no longer than this, and then it is lost.
            var got = await world.Node().GetAsync(keys[Array.IndexOf(lost, true)], target,
                new GetOptions { Deadline = TimeSpan.FromSeconds(1) }, Cancel);
            Assert.True(got.Error?.Code is MeshErrorCode.Device or MeshErrorCode.DeadlineExceeded,
                got.Error?.ToString());
        }

        while (world.Store.Usage.Objects > lost.Count(gone => !gone))
            await Task.Delay(10, Cancel);
        for (int i = 0; i < keys.Length; i++)
        {
            if (!lost[i])
                Assert.Equal(DeviceWorld.Value(Size), await world.GetAsync(caller, keys[i]));
            while ((await caller.ExistAsync([keys[i]], DeviceWorld.Long, Cancel))[0].Value == lost[i])
                await Task.Delay(10, Cancel);
        }

        Assert.Equal(8 << 20, world.Store.Usage.Capacity);
        Assert.Equal(world.Store.Usage.Capacity, world.Store.Usage.Used + world.Store.Usage.Free);
        foreach (var key in await FillAsync(caller, 4, "later"))
            Assert.Equal(DeviceWorld.Value(Size), await world.GetAsync(caller, key));
        world.Devices.Stalled = null;
    }

    [Fact]
    public async Task Memory_that_is_given_back_is_free_once_nobody_reads_there()
    {
        await using var world = await StartAsync();
        var (caller, _) = await world.CallerAsync(Caller.NoDevices);
        var keys = await FillAsync(caller, 6);
        var located = await caller.LocateAsync(keys, DeviceWorld.Long, Cancel);
        int there = Enumerable.Range(0, 6).First(i => located.RecordOf(i)!.Replicas[0].SegmentId == 1);
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
        var read = world.GetAsync(caller, keys[there]);
        reading.Wait(Cancel);
        Change(world, ["cuda:0"]);
        Change(world, ["cuda:0", "cuda:1"]);
        while (world.Store.Usage is not { Zombie: Size })
            await Task.Delay(10, Cancel);
        Assert.Equal(1, world.Devices.Live);
        Assert.Equal(8 << 20, world.Store.Usage.Capacity - Size);
        go.Set();
        Assert.Equal(DeviceWorld.Value(Size), await read);
        while (world.Devices.Live > 0)
            await Task.Delay(10, Cancel);
        Assert.Equal(8 << 20, world.Store.Usage.Capacity);
        Assert.Equal(8 << 20, (await LengthsAsync(world, 1))[0]);
        Assert.Equal(0, world.Store.Usage.Zombie);
        Assert.Equal(world.Store.Usage.Capacity, world.Store.Usage.Used + world.Store.Usage.Free);
    }

    [Fact]
    public async Task A_node_whose_only_memory_is_given_back_holds_nothing()
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0");
        var (caller, _) = await world.CallerAsync(Caller.NoDevices);
        await FillAsync(caller, 2);
        Change(world, ["cuda:0"]);
        while (world.Devices.Live > 0 || (await LengthsAsync(world, 0)).Length > 0)
            await Task.Delay(10, Cancel);
        Assert.Equal(0, world.Store.Usage.Capacity);
        var put = await caller.PutAsync(new MeshKey("a"), new byte[10],
            new PutOptions { Deadline = TimeSpan.FromMilliseconds(500) }, Cancel);
        Assert.False(put.Succeeded);
    }

    private static Task<DeviceWorld> StartAsync() => DeviceWorld.StartTieredAsync(
        new TierOptions { Place = TierPlace.Any },
        new SegmentOptions { Length = 8 << 20, HugePages = false, PreTouch = false },
        new SegmentOptions { Length = 8 << 20, Location = "cuda:0" });

    private static async Task<MeshKey[]> FillAsync(MeshOperations caller, int count, string name = "k")
    {
        var keys = new MeshKey[count];
        for (int i = 0; i < count; i++)
        {
            keys[i] = new MeshKey($"{name}{i}");
            var put = await caller.PutAsync(keys[i], DeviceWorld.Value(Size), DeviceWorld.Put, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
        }

        return keys;
    }

    private static void Change(DeviceWorld world, string[] giveBack) =>
        NodeChange.Apply(world.World.Node, new MeshNodeOptions { NodeId = "holder", GiveBack = giveBack });

    /// <summary>Lengths of the segments in the node's record, once there are so many.</summary>
    private static async Task<long[]> LengthsAsync(DeviceWorld world, int count)
    {
        while (world.World.Node.View.Find("holder")!.Segments.Count != count)
            await Task.Delay(10, Cancel);
        return [.. world.World.Node.View.Find("holder")!.Segments.Select(segment => segment.Length)];
    }
}
