// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>
/// Cards reach the memory of an accelerator by themselves. The accelerator is a double whose memory the devices can
/// register by its address, as with nvidia_peermem; no dma-buf can be had of it.
/// </summary>
[Collection(RealDevices.Name)]
public sealed class VramDeviceTests : IAsyncLifetime
{
    private const int Bytes = (1 << 20) + 77;
    private const int Dram = 0, Vram = 1;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private readonly LogLines _log = new();
    private readonly byte[] _value = new byte[Bytes];
    private DeviceDouble _devices = null!;
    private TransferWorld? _world;
    private int _calls, _flushes;
    private DeviceQueues? _queues;
    private IVerbsTransport? _transport;

    public VramDeviceTests() => RealDevices.SkipUnlessOurs();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private TransferWorld World => _world!;

    public ValueTask InitializeAsync()
    {
        new Random(5).NextBytes(_value);
        _devices = new DeviceDouble { CardsReach = true };
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        if (_transport is not null)
            await _transport.DisposeAsync();
        if (_queues is not null)
            await _queues.DisposeAsync();
        if (_world is not null)
            await _world.DisposeAsync();
        Assert.Equal(0, _devices.Live);
    }

    [Fact]
    public async Task Cards_write_and_read_vram_and_its_driver_only_flushes()
    {
        await StartAsync();
        Assert.Contains("verbs", World.Record.Segments[Vram].Transports);
        var (outcome, reservation) = await PutAsync(Vram);
        Assert.Equal(TransferOutcome.Done, outcome);
        Assert.Equal(_flushes + 1, _devices.Flushes);
        Assert.True(BytesOf(reservation).SequenceEqual(_value));

        using var destination = new GuardedMemory(Bytes);
        var sums = new SliceSums(Bytes);
        var held = World.Store.Seal(reservation, 0);
        var read = World.ReadOf(held) with { Sums = sums };
        Assert.Equal(TransferOutcome.Done, await _transport!.ReadAsync(read, destination.Range, Long, Cancel));
        Assert.True(destination.Bytes.SequenceEqual(_value));
        destination.AssertGuards();
        Assert.NotEqual(0ul, sums.Checksum);
        Assert.Equal(TransferOutcome.Stale, await _transport.ReadAsync(read with { Generation = read.Generation + 2 },
            destination.Range, Long, Cancel));
        // One-sided: nothing went through the driver.
        Assert.Equal(_calls, _devices.Calls);
    }

    [Fact]
    public async Task What_could_not_be_flushed_is_not_written_by_cards_but_read()
    {
        _devices.FlushFault = new MeshError(MeshErrorCode.Device, "device:flush", "this one cannot");
        await StartAsync();
        Assert.Equal(1, _log.Count("rdma_writes_no_device"));
        var (outcome, reservation) = await PutAsync(Vram);
        Assert.Equal(TransferOutcome.Unreachable, outcome);
        Assert.False(BytesOf(reservation).ContainsAnyExcept((byte)0));
        _value.CopyTo(BytesOf(reservation));

        using var destination = new GuardedMemory(Bytes);
        Assert.Equal(TransferOutcome.Done, await ReadAsync(World.Store.Seal(reservation, 0), destination));
        Assert.True(destination.Bytes.SequenceEqual(_value));
    }

    [Fact]
    public async Task A_put_that_was_not_flushed_in_the_end_did_not_arrive()
    {
        await StartAsync();
        _devices.FlushFault = new MeshError(MeshErrorCode.Device, "device:flush", "not now");
        Assert.Equal(TransferOutcome.Unreachable, await PutAndAbortAsync(Vram));
        _devices.FlushFault = null;
        Assert.Equal(TransferOutcome.Done, await PutAndAbortAsync(Vram));
    }

    [Fact]
    public async Task Vram_that_cards_do_not_reach_is_left_to_other_transports()
    {
        _devices = new DeviceDouble();
        await StartAsync();
        Assert.Equal(1, _log.Count("rdma_reaches_no_device"));
        Assert.DoesNotContain("verbs", World.Record.Segments[Vram].Transports);
        Assert.Contains("verbs", World.Record.Segments[Dram].Transports);
        var (outcome, reservation) = await PutAsync(Vram);
        Assert.Equal(TransferOutcome.Unreachable, outcome);
        using var destination = new GuardedMemory(Bytes);
        Assert.Equal(TransferOutcome.Unreachable, await ReadAsync(World.Store.Seal(reservation, 0), destination));
        Assert.Equal(TransferOutcome.Done, await PutAndAbortAsync(Dram));
    }

    [Fact]
    public async Task Before_vram_is_given_back_cards_let_go_of_it()
    {
        string before = await KernelObjects.IdleAsync();
        await StartAsync();
        string with = await KernelObjects.CountAsync();
        var (outcome, reservation) = await PutAsync(Vram);
        Assert.Equal(TransferOutcome.Done, outcome);
        var held = World.Store.Seal(reservation, 0);
        Assert.True(World.Store.Commit(held, new RecordVersion(1, 1, 1)));
        World.Node.Holder.Retreat.GiveBack(["cuda:0"]);
        Assert.True(SpinWait.SpinUntil(() => _devices.Live == 0, Long), "the memory is still taken");
        Assert.NotEqual(with, await KernelObjects.CountAsync());

        using var destination = new GuardedMemory(Bytes);
        Assert.NotEqual(TransferOutcome.Done, await ReadAsync(held, destination));
        // The read knew of nothing and broke the queue pairs: others take their place.
        long start = Stopwatch.GetTimestamp();
        while (await PutAndAbortAsync(Dram) != TransferOutcome.Done)
            Assert.True(Stopwatch.GetElapsedTime(start) < Long, "the cards do not come back");
        await _transport!.DisposeAsync();
        await World.DisposeAsync();
        await _queues!.DisposeAsync();
        (_transport, _world, _queues) = (null, null, null);
        await KernelObjects.UntilAsync(before);
    }

    [Fact]
    public async Task Registered_memory_of_a_caller_s_device_is_read_and_filled_by_the_cards_themselves()
    {
        await StartAsync();
        using var block = _devices.Allocate("cuda:1", Bytes).Value;
        var memory = OnDevice(block);
        Assert.False(_transport!.TakesDevice(memory));
        await _transport.RegisterAsync(memory);
        Assert.True(_transport.TakesDevice(memory));
        Assert.True(_transport.TakesDevice(memory.Part(4096, 77)));
        Assert.False(_transport.TakesDevice(memory with { Device = WithStream(memory.Device!) }));
        _value.CopyTo(_devices.BytesAt(block.Address, Bytes));
        (_calls, _flushes) = (_devices.Calls, _devices.Flushes);

        // A put: the holder's cards read the device; the sums alone are made by its driver.
        var sums = new SliceSums(Bytes);
        var (id, reservation) = Reserve(Dram);
        var write = new ExtentWrite(World.Record, id, sums);
        Assert.Equal(TransferOutcome.Done, await _transport.WriteAsync(write, memory, Long, Cancel));
        Assert.Equal(System.IO.Hashing.XxHash3.HashToUInt64(_value.AsSpan(0, (int)ObjectSum.SmallestSlice)),
            sums.Values[0]);
        Assert.Equal((_calls + 1, _flushes), (_devices.Calls, _devices.Flushes));
        World.Node.Holder.Book.Take(id);

        // A get: our cards fill it, nobody sums it, and it is flushed before the caller is told.
        _devices.BytesAt(block.Address, Bytes).Clear();
        var held = World.Store.Seal(reservation, 0);
        var read = World.ReadOf(held) with { Sums = new SliceSums(Bytes) };
        Assert.Equal(TransferOutcome.Done, await _transport.ReadAsync(read, memory, Long, Cancel));
        Assert.True(_devices.BytesAt(block.Address, Bytes).SequenceEqual(_value));
        Assert.True(read.Sums!.AreMissing);
        Assert.Equal((_calls + 1, _flushes + 1), (_devices.Calls, _devices.Flushes));

        _transport.Unregister(block.Address);
        Assert.False(_transport.TakesDevice(memory));
    }

    [Fact]
    public async Task What_cards_do_not_reach_goes_through_host_memory()
    {
        await StartAsync();
        var others = new DeviceDouble();
        using var block = others.Allocate("cuda:0", Bytes).Value;
        var memory = OnDevice(block, others);
        await _transport!.RegisterAsync(memory);
        Assert.Equal(1, _log.Count("memory_not_registered"));
        Assert.False(_transport.TakesDevice(memory));
        await using var plan = new TransferPlan([_transport], World.Runtime.Time) { Devices = _queues };
        _value.CopyTo(others.BytesAt(block.Address, Bytes));
        var (id, reservation) = Reserve(Dram);
        var write = new ExtentWrite(World.Record, id);
        Assert.Equal(TransferOutcome.Done, await plan.WriteAsync(write, memory, Long, Cancel));
        World.Node.Holder.Book.Take(id);
        others.BytesAt(block.Address, Bytes).Clear();
        var read = World.ReadOf(World.Store.Seal(reservation, 0));
        Assert.Equal(TransferOutcome.Done, await plan.ReadAsync(read, memory, Long, Cancel));
        Assert.True(others.BytesAt(block.Address, Bytes).SequenceEqual(_value));
    }

    [Fact]
    public async Task Registered_memory_of_the_host_is_registered_once()
    {
        await StartAsync();
        using var destination = new GuardedMemory(Bytes);
        await _transport!.RegisterAsync(destination.Range);
        string with = await KernelObjects.CountAsync();
        var (_, reservation) = await PutAsync(Dram);
        Assert.Equal(TransferOutcome.Done, await ReadAsync(World.Store.Seal(reservation, 0), destination));
        Assert.True(destination.Bytes.SequenceEqual(_value));
        Assert.Equal(MemoryOf(with), MemoryOf(await KernelObjects.CountAsync()));
        // A second time is none, and one end ends it.
        await _transport.RegisterAsync(destination.Range);
        _transport.Unregister(destination.Range.Address);
        Assert.NotEqual(MemoryOf(with), MemoryOf(await KernelObjects.CountAsync()));
    }

    private NativeRange OnDevice(IDeviceBlock block, IDeviceMemory? of = null) => new(block.Address, Bytes)
    {
        Device = new DeviceBuffer(of ?? _devices, block.Location, [new DeviceRange(block.Address, Bytes)]),
    };

    private static DeviceBuffer WithStream(DeviceBuffer buffer) =>
        new(buffer.Memory, buffer.Location, buffer.Ranges.ToArray(), new DeviceOrder(1));

    /// <summary>The memory alone: queue pairs come and go.</summary>
    private static string MemoryOf(string objects) =>
        string.Join(", ", objects.Split(", ").Where(part => part.Contains("mr")).Select(part => part.Split(';')[0]));

    private async Task StartAsync()
    {
        _world = await TransferWorld.StartAsync(8 << 20, options => options with
        {
            Transport = TransportChoice.Rdma,
            Segments = [options.Segments[0], new SegmentOptions { Length = 8 << 20, Location = "cuda:0" }],
        }, runtime => Child.Runtime(_log) with { Network = runtime.Network, Devices = _devices });
        _queues = new DeviceQueues(_world.Runtime.Time);
        _transport = RdmaWorld.Open(_world, devices: _queues);
        (_calls, _flushes) = (_devices.Calls, _devices.Flushes);
    }

    /// <summary>Has the cards carry the value to a reservation in a segment.</summary>
    private async Task<(TransferOutcome Outcome, Reservation Reservation)> PutAsync(int segment)
    {
        using var source = new GuardedMemory(Bytes);
        _value.CopyTo(source.Bytes);
        var (id, reservation) = Reserve(segment);
        var outcome = await _transport!.WriteAsync(new ExtentWrite(World.Record, id), source.Range, Long, Cancel);
        World.Node.Holder.Book.Take(id);
        return (outcome, reservation);
    }

    private (ulong Id, Reservation Reservation) Reserve(int segment)
    {
        var taken = new List<Reservation>();
        Reservation reservation;
        while ((reservation = World.Store.Reserve(new MeshKey("k"), 1, Bytes).Value).Extents[0].SegmentId != segment)
            taken.Add(reservation);
        taken.ForEach(World.Store.Abort);
        var head = new PutHead(new MeshKey("k"), 1, Bytes, 1, false, 60_000);
        return (World.Node.Holder.Book.Add(reservation, head, null).Value, reservation);
    }

    private async Task<TransferOutcome> PutAndAbortAsync(int segment)
    {
        var (outcome, reservation) = await PutAsync(segment);
        World.Store.Abort(reservation);
        return outcome;
    }

    private Task<TransferOutcome> ReadAsync(HeldObject held, GuardedMemory destination) =>
        _transport!.ReadAsync(World.ReadOf(held), destination.Range, Long, Cancel);

    private Span<byte> BytesOf(Reservation reservation) =>
        _devices.BytesAt(reservation.BytesOf(0).OnDevice!.Ranges[0].Address, Bytes);
}
