// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Bytes between callers and segments, with memory of devices at either end or both.</summary>
public sealed class DevicePathTests
{
    private static readonly MeshKey Key = new("a");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static TheoryData<Caller, int> Sizes()
    {
        var data = new TheoryData<Caller, int>();
        foreach (var caller in Enum.GetValues<Caller>())
        {
            foreach (int size in (int[])[0, 20_000, 64 << 10, (64 << 10) + 1, (5 << 20) + 3])
                data.Add(caller, size);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public async Task A_segment_of_a_device_takes_and_gives_host_memory(Caller who, int size)
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0");
        var (caller, _) = await world.CallerAsync(who);
        byte[] value = DeviceWorld.Value(size);
        var put = await caller.PutAsync(Key, value, DeviceWorld.Put, Cancel);
        Assert.True(put.Succeeded, put.Error?.ToString());
        Assert.Equal(value, await world.GetAsync(caller, Key));
        Assert.Equal(value, await world.GetAsync(caller, Key, DeviceWorld.Get with { Verify = false }));
        Assert.Equal(0, world.Store.Usage.Zombie);
        Assert.Equal(0, caller.CorruptReads);
        if (size > 64 << 10)
            Assert.Equal(2 * size, DeviceWorld.Moved(caller, TransportOf(who)).Read);
    }

    [Theory]
    [InlineData(Caller.Embedded, 0)]
    [InlineData(Caller.Embedded, 20_000)]
    [InlineData(Caller.Embedded, (5 << 20) + 3)]
    [InlineData(Caller.SameHost, 20_000)]
    [InlineData(Caller.SameHost, (5 << 20) + 3)]
    [InlineData(Caller.Remote, 0)]
    [InlineData(Caller.Remote, 20_000)]
    [InlineData(Caller.Remote, (5 << 20) + 3)]
    public async Task A_callers_device_buffer_is_put_from_and_got_into(Caller who, int size)
    {
        foreach (string segment in (string[])["cpu:0", "cuda:0", "cuda:1"])
        {
            await using var world = await DeviceWorld.StartAsync(segment);
            var (caller, devices) = await world.CallerAsync(who);
            byte[] value = DeviceWorld.Value(size);
            var (source, from) = DeviceWorld.Buffer(devices, value);
            var put = await caller.PutAsync(Key, from, DeviceWorld.Put, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
            Assert.Equal(value, await world.GetAsync(caller, Key));

            var (target, to) = DeviceWorld.Buffer(devices, new byte[size + 100]);
            foreach (bool verify in (bool[])[true, false])
            {
                var got = await caller.GetAsync(Key, new RangeTarget(to), DeviceWorld.Get with { Verify = verify },
                    Cancel);
                Assert.True(got.Succeeded, got.Error?.ToString());
                Assert.Equal(size, got.Value);
                Assert.Equal(value, devices.BytesAt(to.Address, size).ToArray());
                Assert.Equal(-1, devices.BytesAt(to.Address + size, 100).IndexOfAnyExcept((byte)0));
                devices.BytesAt(to.Address, size).Clear();
            }

            source.Dispose();
            target.Dispose();
            Assert.Equal(0, caller.CorruptReads);
            bool oneHost = who is Caller.Embedded or Caller.SameHost;
            Assert.Equal(size > 0 && segment != "cpu:0" && oneHost, devices.Copies > 0);
        }
    }

    [Theory]
    [InlineData(Caller.Embedded)]
    [InlineData(Caller.SameHost)]
    [InlineData(Caller.Remote)]
    public async Task Pieces_on_one_device_go_as_one_list(Caller who)
    {
        foreach (string segment in (string[])["cpu:0", "cuda:0"])
        {
            await using var world = await DeviceWorld.StartAsync(segment);
            var (caller, devices) = await world.CallerAsync(who);
            byte[] value = DeviceWorld.Value(700_000);
            var (block, _) = DeviceWorld.Buffer(devices, new byte[2_000_000]);
            NativeRange[] pieces =
                [new(block.Address + 1_000_000, 300_001), new(block.Address + 5, 0), new(block.Address + 7, 399_999)];
            value.AsSpan(0, 300_001).CopyTo(devices.BytesAt(block.Address + 1_000_000, 300_001));
            value.AsSpan(300_001).CopyTo(devices.BytesAt(block.Address + 7, 399_999));
            var put = await caller.PutAsync(Key, pieces, DeviceWorld.Put, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
            Assert.Equal(value, await world.GetAsync(caller, Key));
            devices.BytesAt(block.Address, 2_000_000).Clear();
            int calls = devices.Calls;
            var got = await caller.GetAsync(Key, pieces, DeviceWorld.Get, Cancel);
            Assert.True(got.Succeeded, got.Error?.ToString());
            Assert.Equal(value[..300_001], devices.BytesAt(block.Address + 1_000_000, 300_001).ToArray());
            Assert.Equal(value[300_001..], devices.BytesAt(block.Address + 7, 399_999).ToArray());
            if (segment == "cpu:0")
                Assert.Equal(1, devices.Calls - calls);
        }
    }

    [Fact]
    public async Task Pieces_in_two_places_are_refused()
    {
        await using var world = await DeviceWorld.StartAsync("cpu:0");
        var (caller, devices) = await world.CallerAsync(Caller.Embedded);
        await caller.PutAsync(Key, new byte[20], DeviceWorld.Put, Cancel);
        var (first, one) = DeviceWorld.Buffer(devices, new byte[10]);
        var (second, two) = DeviceWorld.Buffer(devices, new byte[10], "cuda:0");
        using var host = new GuardedMemory(10);
        foreach (NativeRange[] pieces in (NativeRange[][])[[one, two], [host.Range, one], [one, host.Range]])
        {
            var put = await caller.PutAsync(Key, pieces, DeviceWorld.Put, Cancel);
            Assert.Equal(MeshErrorCode.InvalidArgument, put.Error?.Code);
            Assert.Contains("the pieces of one value are in", put.Error!.Message, StringComparison.Ordinal);
            var got = await caller.GetAsync(Key, pieces, DeviceWorld.Get, Cancel);
            Assert.Equal(MeshErrorCode.InvalidArgument, got.Error?.Code);
        }

        first.Dispose();
        second.Dispose();
    }

    [Theory]
    [InlineData(Caller.Embedded)]
    [InlineData(Caller.SameHost)]
    [InlineData(Caller.Remote)]
    public async Task Ranges_and_batches_take_device_buffers(Caller who)
    {
        foreach (string segment in (string[])["cpu:0", "cuda:0"])
        {
            await using var world = await DeviceWorld.StartAsync(segment);
            var (caller, devices) = await world.CallerAsync(who);
            byte[] value = DeviceWorld.Value(900_000);
            await caller.PutAsync(Key, value, DeviceWorld.Put, Cancel);
            var (block, range) = DeviceWorld.Buffer(devices, new byte[200_000]);
            var part = await caller.GetRangeAsync(new ObjectRange(Key, 123_456), range, DeviceWorld.Get, Cancel);
            Assert.True(part.Succeeded, part.Error?.ToString());
            Assert.Equal(value[123_456..323_456], devices.BytesAt(range.Address, 200_000).ToArray());

            var (whole, all) = DeviceWorld.Buffer(devices, new byte[900_000]);
            var many = await caller.GetManyAsync([Key, new MeshKey("b")],
                [new RangeTarget(all), new RangeTarget(range)], DeviceWorld.Get, Cancel);
            Assert.Equal(900_000, many[0].Value);
            Assert.Equal(MeshErrorCode.NotFound, many[1].Error?.Code);
            Assert.Equal(value, devices.BytesAt(all.Address, 900_000).ToArray());
            block.Dispose();
            whole.Dispose();
        }
    }

    [Fact]
    public async Task The_callers_stream_is_passed_on()
    {
        await using var world = await DeviceWorld.StartAsync("cpu:0");
        var (caller, devices) = await world.CallerAsync(Caller.Embedded);
        var (_, range) = DeviceWorld.Buffer(devices, new byte[100_000]);
        await caller.PutAsync(Key, range, DeviceWorld.Put with { Order = new DeviceOrder(77) }, Cancel);
        Assert.Equal(77, devices.LastOrder.Stream);
        var options = DeviceWorld.Get with { Order = new DeviceOrder(78) };
        await caller.GetAsync(Key, new RangeTarget(range), options, Cancel);
        Assert.Equal(78, devices.LastOrder.Stream);
    }

    [Fact]
    public async Task Of_noted_memory_the_driver_is_not_asked_again()
    {
        await using var world = await DeviceWorld.StartAsync("cpu:0");
        var (caller, devices) = await world.CallerAsync(Caller.Embedded);
        var (_, range) = DeviceWorld.Buffer(devices, DeviceWorld.Value(100_000));
        caller.Context.CallerMemory.Note(range);
        int asked = devices.Questions;
        await caller.PutAsync(Key, range, DeviceWorld.Put, Cancel);
        await caller.GetAsync(Key, new RangeTarget(range.Part(0, range.Length)), DeviceWorld.Get, Cancel);
        Assert.Equal(asked, devices.Questions);
        caller.Context.CallerMemory.Forget(range.Address);
        await caller.GetAsync(Key, new RangeTarget(range), DeviceWorld.Get, Cancel);
        Assert.Equal(asked + 1, devices.Questions);
    }

    [Theory]
    [InlineData(Caller.Embedded)]
    [InlineData(Caller.SameHost)]
    [InlineData(Caller.NoDevices)]
    public async Task A_view_of_what_a_device_has_is_refused_by_name(Caller who)
    {
        await using var world = await DeviceWorld.StartAsync("cuda:0");
        var (caller, _) = await world.CallerAsync(who);
        await caller.PutAsync(Key, new byte[100_000], DeviceWorld.Put, Cancel);
        var view = await caller.ViewAsync(Key, new ViewOptions { Deadline = DeviceWorld.Long }, Cancel);
        Assert.Equal(MeshErrorCode.Unavailable, view.Error?.Code);
        Assert.Contains("in memory of a device", view.Error!.Message, StringComparison.Ordinal);
        Assert.Equal(0, world.World.Node.Holder.Processes.Usage.Views);
    }

    [Fact]
    public async Task An_object_lies_in_extents_of_the_host_and_of_devices()
    {
        await using var world = await DeviceWorld.StartAsync(
            new() { Length = 2 << 20, HugePages = false, PreTouch = false },
            new() { Length = 2 << 20, Location = "cuda:0" }, new() { Length = 2 << 20, Location = "cuda:1" });
        byte[] value = DeviceWorld.Value(5 << 20);
        foreach (var who in Enum.GetValues<Caller>())
        {
            var (caller, devices) = await world.CallerAsync(who);
            var key = new MeshKey(who.ToString());
            var put = await caller.PutAsync(key, value, DeviceWorld.Put, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
            Assert.Equal(value, await world.GetAsync(caller, key));
            if (who != Caller.NoDevices)
            {
                var (block, range) = DeviceWorld.Buffer(devices, new byte[5 << 20]);
                var got = await caller.GetAsync(key, new RangeTarget(range), DeviceWorld.Get, Cancel);
                Assert.True(got.Succeeded, got.Error?.ToString());
                Assert.Equal(value, devices.BytesAt(range.Address, 5 << 20).ToArray());
                Assert.True((await caller.RemoveAsync(key, DeviceWorld.Long, Cancel)).Value);
                put = await caller.PutAsync(key, range, DeviceWorld.Put, Cancel);
                Assert.True(put.Succeeded, put.Error?.ToString());
                Assert.Equal(value, await world.GetAsync(caller, key));
                block.Dispose();
            }

            Assert.True((await caller.RemoveAsync(key, DeviceWorld.Long, Cancel)).Value);
        }
    }

    private static string TransportOf(Caller who) => who switch
    {
        Caller.Embedded => "self",
        Caller.SameHost => "shm",
        _ => "tcp",
    };
}
