// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer.Engine;

/// <summary>Registered memory of devices, whose addresses nothing may follow.</summary>
public sealed class EngineDeviceTests
{
    public static TheoryData<TransferTransports, bool> Ways => new()
    {
        { TransferTransports.Tcp, false },
        { TransferTransports.All, false },
        { TransferTransports.Shm | TransferTransports.Tcp, false },
        { TransferTransports.All, true },
    };

    [Theory]
    [MemberData(nameof(Ways))]
    public void Bytes_go_between_memory_of_every_kind(TransferTransports transports, bool toOneself)
    {
        using var world = new EngineDeviceWorld(transports);
        foreach (var (from, to) in ((string, string)[])[("cuda:0", "host"), ("host", "cuda:1"), ("cuda:0", "cuda:1"),
            ("cuda:1", "cuda:1"), ("host", "host")])
        {
            foreach (int length in (int[])[1, 4097, (1 << 20) + 1, (9 << 20) + 3])
            {
                var mine = world.Memory(here: true, from, length);
                var there = world.Memory(here: toOneself, to, length);
                int? segment = toOneself ? 0 : null;
                byte[] bytes = EngineDeviceWorld.Mixed(length);
                bytes.CopyTo(mine.Span);
                Completed(world.Move(world.Request(TransferOpcode.Write, mine, there, segment)), length);
                Assert.True(bytes.AsSpan().SequenceEqual(there.Span), $"{from} {to} {length}");

                byte[] others = EngineDeviceWorld.Mixed(length, seed: 2);
                others.CopyTo(there.Span);
                Completed(world.Move(world.Request(TransferOpcode.Read, mine, there, segment)), length);
                Assert.True(others.AsSpan().SequenceEqual(mine.Span), $"{from} {to} {length}");
            }
        }

        Assert.Equal(0, world.Peer.Server.GarbageConnections);
    }

    [Theory]
    [InlineData("host", "cuda:0")]
    [InlineData("cuda:0", "host")]
    [InlineData("cuda:0", "cuda:0")]
    public void Where_the_kernel_alone_may_copy_a_device_is_out_of_reach(string from, string to)
    {
        using var world = new EngineDeviceWorld(TransferTransports.Cma);
        var mine = world.Memory(here: true, from, 5000);
        var there = world.Memory(here: false, to, 5000);
        var here = world.Memory(here: true, "host", 5000);
        var plain = world.Memory(here: false, "host", 5000);
        foreach (var opcode in Enum.GetValues<TransferOpcode>())
        {
            Completed(world.Move(world.Request(opcode, here, plain)), 5000);
            var refused = world.Move(world.Request(opcode, mine, there));
            Assert.Equal((TransferState.Failed, EntryStatus.NotLocal), (refused.StatusOf(0).State,
                refused.FailureOf(0)));
        }

        // Once nothing of a device is registered, the peer's table need not be looked at again.
        Assert.Null(world.Peer.Memory.Unregister((ulong)there.Address));
        Completed(world.Move(world.Request(TransferOpcode.Write, here, plain)), 5000);
    }

    [Fact]
    public void Requests_of_one_batch_may_lie_anywhere()
    {
        const int Each = 1000;
        const int Count = 900;
        using var world = new EngineDeviceWorld();
        string[] places = ["host", "cuda:0", "cuda:1"];
        var mine = Array.ConvertAll(places, where => world.Memory(true, where, Each * Count));
        var there = Array.ConvertAll(places, where => world.Memory(false, where, Each * Count));
        for (int i = 0; i < places.Length; i++)
            EngineDeviceWorld.Mixed(Each * Count, seed: i).CopyTo(mine[i].Span);
        var requests = new TransferRequest[Count];
        (EngineBytes, EngineBytes) At(int i) => (mine[i % 3].Part(i * Each, 1 + (i % Each)),
            there[i / 3 % 3].Part(i * Each, 1 + (i % Each)));
        for (int i = 0; i < Count; i++)
            requests[i] = world.Request(TransferOpcode.Write, At(i).Item1, At(i).Item2);
        Assert.Equal(TransferState.Completed, world.Move(requests).Status().State);
        for (int i = 0; i < Count; i++)
            Assert.True(At(i).Item1.Span.SequenceEqual(At(i).Item2.Span), $"{i}");

        foreach (var memory in mine)
            memory.Span.Clear();
        Assert.Equal(TransferState.Completed, world.Move(Array.ConvertAll(requests,
            request => request with { Opcode = TransferOpcode.Read })).Status().State);
        for (int i = 0; i < Count; i++)
            Assert.True(At(i).Item1.Span.SequenceEqual(At(i).Item2.Span), $"{i}");
    }

    [Fact]
    public void A_location_that_the_driver_contradicts_is_refused_by_name()
    {
        using var world = new EngineDeviceWorld();
        var host = world.Unregistered(world.Here, "host", 4096);
        var device = world.Unregistered(world.Here, "cuda:1", 4096);
        (TransferErrorCode?, string?) Of(EngineBytes bytes, string location)
        {
            var error = world.Mine.Memory.Register((ulong)bytes.Address, (ulong)bytes.Length, location, true);
            if (error is null)
                Assert.Null(world.Mine.Memory.Unregister((ulong)bytes.Address));
            return (error?.Code, error?.Message);
        }

        Assert.Equal((TransferErrorCode.InvalidArgument, "location 'cuda:0': the driver of the devices says that "
            + $"0x{device.Address:x} is in cuda:1"), Of(device, "cuda:0"));
        Assert.Equal((TransferErrorCode.InvalidArgument, "location 'cpu:0': the driver of the devices says that "
            + $"0x{device.Address:x} is in cuda:1"), Of(device, "cpu:0"));
        Assert.Equal((TransferErrorCode.InvalidArgument, "location 'cuda:1': the driver of the devices says that "
            + $"0x{host.Address:x} is in host memory"), Of(host, "cuda:1"));
        Assert.Equal((TransferErrorCode.DeviceNotFound, "location 'cuda:7' is no device of this host"),
            Of(device, "cuda:7"));
        Assert.Equal(TransferErrorCode.InvalidArgument, Of(device, "cuda:x").Item1);
        Assert.Equal((null, null), Of(device, "cuda:1"));
        Assert.Equal((null, null), Of(device, "*"));
        Assert.Equal((null, null), Of(host, "cpu:0"));
        var none = new EngineDevices(new DeviceDouble(0), new MeshRuntime { Network = new SocketNetwork() });
        Assert.Equal(new TransferError(TransferErrorCode.DeviceNotFound,
            "location 'cuda:0': this process has not begun CUDA"), none.Find(4096, 1, "cuda:0").Error);
        Assert.Null(none.Find(4096, 1, "*").Value);
    }

    [Fact]
    public void What_is_not_registered_is_refused_and_what_begins_on_a_device_must_end_there()
    {
        using var world = new EngineDeviceWorld();
        var mine = world.Memory(here: true, "cuda:0", 4096);
        var there = world.Unregistered(world.There, "cuda:0", 4096);
        foreach (var opcode in Enum.GetValues<TransferOpcode>())
        {
            var refused = world.Move(world.Request(opcode, mine, there));
            Assert.Equal((TransferState.Failed, EntryStatus.NotRegistered), (refused.StatusOf(0).State,
                refused.FailureOf(0)));
            var source = world.Mine.Transfers.Submit(world.Mine.Transfers.Allocate(1).Value,
                [world.Request(opcode, there, mine)], null);
            Assert.Equal(TransferErrorCode.AddressNotRegistered, source?.Code);
        }

        var beyond = world.Mine.Memory.Register((ulong)there.Address, 1 << 22, "*", isRemote: true);
        Assert.Equal(TransferErrorCode.InvalidArgument, beyond?.Code);

        // Registered for this process alone: peers are refused.
        Assert.Null(world.Peer.Memory.Register((ulong)there.Address, 4096, "*", isRemote: false));
        Assert.Equal(EntryStatus.NotRemote, world.Move(world.Request(TransferOpcode.Read, mine, there)).FailureOf(0));
        Assert.Null(world.Peer.Memory.Unregister((ulong)there.Address));
        Assert.Null(world.Mine.Memory.Unregister((ulong)mine.Address));
    }

    [Theory]
    [InlineData(true, TransferOpcode.Write, 0)]
    [InlineData(true, TransferOpcode.Write, 1)]
    [InlineData(true, TransferOpcode.Read, 0)]
    [InlineData(true, TransferOpcode.Read, 1)]
    [InlineData(false, TransferOpcode.Write, 0)]
    [InlineData(false, TransferOpcode.Write, 1)]
    [InlineData(false, TransferOpcode.Read, 0)]
    [InlineData(false, TransferOpcode.Read, 1)]
    public void A_device_that_fails_fails_the_task_and_the_next_is_whole(bool mineFails, TransferOpcode opcode,
        int afterChunks)
    {
        const int Length = (1 << 20) + 5;
        using var world = new EngineDeviceWorld(TransferTransports.Tcp);
        var mine = world.Memory(here: true, mineFails ? "cuda:0" : "host", Length);
        var there = world.Memory(here: false, mineFails ? "host" : "cuda:0", Length);
        var failing = mineFails ? world.Here : world.There;
        failing.FaultAfterChunks = afterChunks;
        failing.Fault = new MeshError(MeshErrorCode.Device, "device", "the double is broken");
        var failed = world.Move(world.Request(opcode, mine, there));
        Assert.Equal(TransferState.Failed, failed.StatusOf(0).State);
        // What has announced its bytes, and then has them not, ends its connection.
        bool isCut = afterChunks > 0 && (mineFails == (opcode == TransferOpcode.Write));
        if (!isCut || mineFails)
            Assert.Equal(EntryStatus.DeviceFailed, failed.FailureOf(0));

        failing.Fault = null;
        EngineDeviceWorld.Mixed(Length).CopyTo(mine.Span);
        EngineDeviceWorld.Mixed(Length, seed: 2).CopyTo(there.Span);
        Completed(world.Move(world.Request(opcode, mine, there)), Length);
        Assert.True(mine.Span.SequenceEqual(there.Span));
        Assert.Equal(0, world.Peer.Server.GarbageConnections);
    }

    [Fact]
    public void A_device_that_fails_refuses_its_entries_and_no_others()
    {
        using var world = new EngineDeviceWorld(TransferTransports.Tcp);
        var mine = world.Memory(here: true, "host", 4000);
        EngineBytes[] there = [world.Memory(false, "host", 1000), world.Memory(false, "cuda:0", 1000),
            world.Memory(false, "host", 1000)];
        foreach (var opcode in Enum.GetValues<TransferOpcode>())
        {
            world.There.Fault = new MeshError(MeshErrorCode.Device, "device", "the double is broken");
            var batch = world.Move([.. there.Select((one, i) =>
                world.Request(opcode, mine.Part(i * 1000, 1000), one))]);
            // A read has announced the first entry's bytes when the device fails: all of that frame has failed.
            var others = opcode == TransferOpcode.Write ? TransferState.Completed : TransferState.Failed;
            Assert.Equal([others, TransferState.Failed, others],
                [.. Enumerable.Range(0, 3).Select(i => batch.StatusOf(i).State)]);
            world.There.Fault = null;
            Assert.Equal(TransferState.Completed, world.Move([.. there.Select((one, i) =>
                world.Request(opcode, mine.Part(i * 1000, 1000), one))]).Status().State);
        }
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void A_device_that_stands_still_holds_up_nothing_else_and_is_lost(bool mineStalls, bool toOneself)
    {
        using var world = new EngineDeviceWorld(TransferTransports.Tcp,
            TimeSpan.FromSeconds(mineStalls ? 10 : 30));
        var mine = world.Memory(here: true, mineStalls ? "cuda:0" : "host", 1 << 20);
        var there = world.Memory(here: toOneself, mineStalls ? "host" : "cuda:0", 1 << 20);
        var stalling = mineStalls ? world.Here : world.There;
        int? segment = toOneself ? 0 : null;
        stalling.Stalled = "cuda:0";
        var requests = Enumerable.Repeat(world.Request(TransferOpcode.Write, mine, there, segment), 8).ToArray();
        var stuck = world.Begin(requests);
        if (mineStalls)
        {
            foreach (string where in (string[])["host", "cuda:1"])
            {
                var other = world.Memory(here: true, where, 5 << 20);
                var target = world.Memory(here: toOneself, where, 5 << 20);
                Completed(world.Move(world.Request(TransferOpcode.Write, other, target, segment)), 5 << 20);
            }

            Assert.Equal(TransferState.Pending, stuck.Status().State);
        }

        Assert.True(stuck.Wait(EngineDeviceWorld.Long, TimeProvider.System));
        for (int i = 0; i < requests.Length; i++)
            Assert.Contains(stuck.StatusOf(i).State, (TransferState[])[TransferState.Failed, TransferState.Timeout]);

        // It does not come back, though it goes on.
        stalling.Stalled = null;
        var late = world.Move(requests[0]);
        Assert.Equal((TransferState.Failed, EntryStatus.DeviceFailed), (late.StatusOf(0).State, late.FailureOf(0)));
        Assert.Null(world.Mine.Memory.Unregister((ulong)mine.Address));
    }

    [Fact]
    public void A_stream_is_waited_for_where_the_memory_lies()
    {
        using var world = new EngineDeviceWorld(timeout: TimeSpan.FromSeconds(7));
        var there = world.Memory(here: false, "host", 100);
        TransferRequest At(string where) =>
            world.Request(TransferOpcode.Write, world.Memory(here: true, where, 100), there);
        TransferRequest[] host = [At("host")], one = [At("host"), At("cuda:1"), At("cuda:1")];
        TransferRequest[] two = [At("cuda:1"), At("cuda:0")];
        List<(string?, nint)> waited = [];
        world.Here.OnAwait = (location, stream) =>
        {
            waited.Add((location, stream));
            return true;
        };
        var transfers = world.Mine.Transfers;
        Assert.True(transfers.AwaitStream(host, 0).Value);
        Assert.True(transfers.AwaitStream(host, 77).Value);
        Assert.True(transfers.AwaitStream(one, 77).Value);
        Assert.True(transfers.AwaitStream(one, 0).Value);
        Assert.Equal([(null, DeviceOrder.DefaultStream), (null, 77), ("cuda:1", 77),
            ("cuda:1", DeviceOrder.DefaultStream)], waited);
        Assert.InRange(world.Here.LastTimeout, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(7));
        Assert.True(transfers.AwaitStream(two, 0).Value);
        Assert.Equal(["cuda:0", "cuda:1"], waited[4..].Select(w => w.Item1).Order());

        foreach (string foreign in (string[])["cuda:0", "cuda:1"])
        {
            world.Here.ForeignStreams.Add((foreign, 77));
            waited.Clear();
            var result = transfers.AwaitStream(two, 77);
            Assert.Equal(foreign == "cuda:0", result.Succeeded);
            Assert.Equal(result.Succeeded ? [("cuda:1", 77)] : [], waited);
            Assert.Equal(result.Succeeded ? null : TransferErrorCode.InvalidArgument, result.Error?.Code);
        }

        world.Here.ForeignStreams.Clear();
        world.Here.OnAwait = static (_, _) => false;
        Assert.False(transfers.AwaitStream(one, 77).Value);
        Assert.Equal(TransferErrorCode.DeviceNotFound, LostOf(world, one));
    }

    private static TransferErrorCode? LostOf(EngineDeviceWorld world, TransferRequest[] requests)
    {
        world.Here.Stalled = "cuda:1";
        world.Here.Copy(new DeviceRange(requests[1].Source, 1), requests[1].Source, default,
            TimeSpan.FromMilliseconds(1));
        return world.Mine.Transfers.AwaitStream(requests, 0).Error?.Code;
    }

    private static void Completed(EngineBatch batch, int length) =>
        Assert.True(batch.StatusOf(0) == new TransferStatus(TransferState.Completed, (ulong)length),
            $"{batch.StatusOf(0)} {batch.FailureOf(0)}");
}
