// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Tests.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Verbs.Engine;
using Mooncake.Mesh.Verbs.Tests.Devices;
using Mooncake.Mesh.Verbs.Tests.Transfers;

namespace Mooncake.Mesh.Verbs.Tests.Engine;

/// <summary>
/// The transfer engine's cards reach memory of accelerators by themselves. The accelerators are doubles whose memory
/// real devices can register by its address, as with nvidia_peermem.
/// </summary>
[Collection(RealDevices.Name)]
public sealed class EngineVramDeviceTests
{
    private const string Refused = "engine_device_without_cards";
    private const TransferTransports CardsOrTcp = TransferTransports.Rdma | TransferTransports.Tcp;
    private static readonly TimeSpan KernelTick = TimeSpan.FromMilliseconds(20);
    private readonly LogLines _log = new();

    public EngineVramDeviceTests() => RealDevices.SkipUnlessOurs();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("cuda:0", "host")]
    [InlineData("host", "cuda:1")]
    [InlineData("cuda:1", "cuda:0")]
    public async Task Bytes_go_between_devices_and_no_driver_copies_them(string from, string to)
    {
        string before = await KernelObjects.IdleAsync();
        using (var world = Open(TransferTransports.Rdma))
        {
            foreach (int length in (int[])[1, 4097, (9 << 20) + 3])
            {
                var mine = world.Memory(here: true, from, length);
                var there = world.Memory(here: false, to, length);
                (int here, int peer) = (world.Here.Flushes, world.There.Flushes);
                AssertMoves(world, TransferOpcode.Write, mine, there);
                Assert.Equal((here, peer), (world.Here.Flushes, world.There.Flushes));
                AssertMoves(world, TransferOpcode.Read, mine, there);
                // Before a read is over, what cards wrote here is there for all.
                Assert.Equal(from != "host", world.Here.Flushes > here);
                Assert.Equal(peer, world.There.Flushes);
            }

            Assert.Equal((0, 0), (world.Here.Calls, world.There.Calls));
        }

        Assert.Equal(0, _log.Count(Refused));
        await KernelObjects.UntilAsync(before);
    }

    [Fact]
    public void What_was_written_to_a_peer_s_device_is_pushed_there_by_a_read()
    {
        using var world = Open(TransferTransports.Rdma);
        var mine = world.Memory(here: true, "host", 8);
        var host = world.Memory(here: false, "host", 8);
        var device = world.Memory(here: false, "cuda:0", 8);
        var request = world.Request(TransferOpcode.Write, mine, device);
        // Keys and queue pairs are there then.
        AssertMoves(world, TransferOpcode.Write, mine, host);
        AssertMoves(world, TransferOpcode.Write, mine, device);

        // A write and its acknowledgement; then a read and its answer.
        Assert.Equal(2, PacketsOf(() => AssertMoves(world, TransferOpcode.Write, mine, host)));
        Assert.Equal(4, PacketsOf(() => AssertMoves(world, TransferOpcode.Write, mine, device)));
        // One read for all of them where they went over one queue pair, and so for each of the two.
        Assert.InRange(PacketsOf(() => Completed(world.Move([.. Enumerable.Repeat(request, 100)]), 8)), 202, 204);
    }

    [Fact]
    public void Requests_of_one_batch_may_lie_anywhere()
    {
        const int Each = 1000, Count = 600;
        string[] places = ["host", "cuda:0", "cuda:1"];
        using var world = Open(TransferTransports.Rdma);
        var mine = Array.ConvertAll(places, where => world.Memory(true, where, Each * Count));
        var there = Array.ConvertAll(places, where => world.Memory(false, where, Each * Count));
        for (int i = 0; i < places.Length; i++)
            EngineDeviceWorld.Mixed(Each * Count, seed: i).CopyTo(mine[i].Span);
        foreach (var opcode in (TransferOpcode[])[TransferOpcode.Write, TransferOpcode.Read])
        {
            if (opcode == TransferOpcode.Read)
                Array.ForEach(mine, memory => memory.Span.Clear());
            var requests = new TransferRequest[Count];
            for (int i = 0; i < Count; i++)
            {
                requests[i] = world.Request(opcode, mine[i % 3].Part(i * Each, Each),
                    there[i / 3 % 3].Part(i * Each, Each));
            }

            Assert.Equal(TransferState.Completed, world.Move(requests).Status().State);
            for (int i = 0; i < Count; i++)
            {
                Assert.True(mine[i % 3].Part(i * Each, Each).Span.SequenceEqual(
                    there[i / 3 % 3].Part(i * Each, Each).Span), $"{opcode} {i}");
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Devices_that_cards_do_not_reach_are_left_to_tcp(bool reachedButNotFlushed)
    {
        using var world = Open(CardsOrTcp, reach: reachedButNotFlushed);
        if (reachedButNotFlushed)
            world.Here.FlushFault = world.There.FlushFault = new MeshError(MeshErrorCode.Device, "flush", "it cannot");
        foreach (var (from, to) in ((string, string)[])[("cuda:0", "host"), ("host", "cuda:1"), ("cuda:0", "cuda:0")])
        {
            var mine = world.Memory(here: true, from, 1 << 20);
            var there = world.Memory(here: false, to, 1 << 20);
            AssertMoves(world, TransferOpcode.Write, mine, there);
            AssertMoves(world, TransferOpcode.Read, mine, there);
        }

        Assert.Equal(4, _log.Count(Refused));
        Assert.True(world.Here.Calls > 0 && world.There.Calls > 0);
        // Between host memory the cards go on.
        var near = world.Memory(here: true, "host", 4096);
        var far = world.Memory(here: false, "host", 4096);
        AssertMoves(world, TransferOpcode.Write, near, far);
        Assert.True(PacketsOf(() => AssertMoves(world, TransferOpcode.Write, near, far)) > 0);
    }

    [Fact]
    public void Where_there_is_no_tcp_a_device_that_cards_do_not_reach_fails_its_requests_alone()
    {
        using var world = Open(TransferTransports.Rdma, reach: false);
        var mine = world.Memory(here: true, "host", 2000);
        var there = world.Memory(here: false, "host", 1000);
        var device = world.Memory(here: false, "cuda:0", 1000);
        var batch = world.Move(world.Request(TransferOpcode.Write, mine.Part(0, 1000), there),
            world.Request(TransferOpcode.Write, mine.Part(1000, 1000), device));
        Assert.Equal([TransferState.Completed, TransferState.Failed],
            [batch.StatusOf(0).State, batch.StatusOf(1).State]);
        var own = world.Memory(here: true, "cuda:0", 1000);
        Assert.Equal(EntryStatus.NotLocal, world.Move(world.Request(TransferOpcode.Read, own, there)).FailureOf(0));
    }

    [Theory]
    [InlineData(TransferTransports.Rdma)]
    [InlineData(CardsOrTcp)]
    public void A_read_that_was_not_flushed_in_the_end_has_not_come_by_cards(TransferTransports transports)
    {
        using var world = Open(transports);
        var mine = world.Memory(here: true, "cuda:0", 100_000);
        var there = world.Memory(here: false, "host", 100_000);
        AssertMoves(world, TransferOpcode.Read, mine, there);
        world.Here.FlushFault = new MeshError(MeshErrorCode.Device, "flush", "not now");
        if (transports == CardsOrTcp)
        {
            AssertMoves(world, TransferOpcode.Read, mine, there);
            Assert.True(world.Here.Calls > 0);
        }
        else
        {
            Assert.Equal(TransferState.Failed, world.Move(world.Request(TransferOpcode.Read, mine, there))
                .Status().State);
        }

        world.Here.FlushFault = null;
        AssertMoves(world, TransferOpcode.Read, mine, there);
    }

    [Fact]
    public void Memory_of_a_device_that_was_unregistered_is_out_of_reach_and_registered_anew_it_is_reached()
    {
        using var world = Open(TransferTransports.Rdma);
        var mine = world.Memory(here: true, "host", 64 << 10);
        var there = world.Memory(here: false, "cuda:0", 64 << 10);
        AssertMoves(world, TransferOpcode.Write, mine, there);
        Assert.Null(world.Peer.Memory.Unregister((ulong)there.Address));
        there.Span.Clear();
        Assert.Equal(EntryStatus.NotRegistered,
            world.Move(world.Request(TransferOpcode.Write, mine, there)).FailureOf(0));
        Assert.False(there.Span.ContainsAnyExcept((byte)0));
        Assert.Null(world.Peer.Memory.Register((ulong)there.Address, (ulong)there.Length, "cuda:0", isRemote: true));
        AssertMoves(world, TransferOpcode.Write, mine, there);
    }

    [Fact]
    public async Task A_device_that_stands_still_is_left_to_tcp_and_holds_up_nothing_else()
    {
        using var world = Open(CardsOrTcp);
        using var goOn = new ManualResetEventSlim();
        world.Here.BeforeFlush = _ => goOn.Wait(Cancel);
        var device = world.Unregistered(world.Here, "cuda:0", 4096);
        var registering = Task.Run(() => world.Mine.Memory.Register((ulong)device.Address, 4096, "*", true), Cancel);
        // Other memory comes and goes meanwhile.
        var mine = world.Memory(here: true, "host", 4096);
        var there = world.Memory(here: false, "host", 4096);
        AssertMoves(world, TransferOpcode.Write, mine, there);
        Assert.Null(world.Mine.Memory.Unregister((ulong)mine.Address));
        Assert.Null(world.Peer.Memory.Unregister((ulong)there.Address));
        Assert.Null(await registering);
        Assert.Equal(1, _log.Count(Refused));
        var far = world.Memory(here: false, "host", 4096);
        AssertMoves(world, TransferOpcode.Write, device, far);
        Assert.True(world.Here.Calls > 0);

        // What it does when it goes on is undone.
        Assert.Null(world.Peer.Memory.Unregister((ulong)far.Address));
        string standing = await KernelObjects.CountAsync();
        goOn.Set();
        Assert.True(SpinWait.SpinUntil(() => _log.Count("engine_device_came_late") == 1, EngineDeviceWorld.Long));
        Assert.Equal(standing, await KernelObjects.CountAsync());
    }

    [Fact]
    public async Task Writes_go_on_while_a_card_is_lost_and_found()
    {
        const int Length = 1 << 20;
        using var world = Open(TransferTransports.Rdma);
        var mine = world.Memory(here: true, "cuda:0", Length);
        var there = world.Memory(here: false, "cuda:1", Length);
        AssertMoves(world, TransferOpcode.Write, mine, there);
        await using (var nic = new BrokenNic(1, "add"))
        {
            await MoveUntilAsync(nic.BreakAsync("delete"));
            await MoveUntilAsync(nic.MendAsync());
        }

        AssertMoves(world, TransferOpcode.Write, mine, there);
        AssertMoves(world, TransferOpcode.Read, mine, there);

        async Task MoveUntilAsync(Task over)
        {
            do
                AssertMoves(world, TransferOpcode.Write, mine, there);
            while (!over.IsCompleted);
            await over;
        }
    }

    private EngineDeviceWorld Open(TransferTransports transports, bool reach = true) => new(transports,
        cards: new WorldCards(static runtime => EngineCards.Open(new RdmaOptions(), runtime), reach, _log));

    private static void AssertMoves(EngineDeviceWorld world, TransferOpcode opcode, EngineBytes mine,
        EngineBytes there)
    {
        var (from, to) = opcode == TransferOpcode.Write ? (mine, there) : (there, mine);
        EngineDeviceWorld.Mixed(mine.Length, seed: (int)opcode + 3).CopyTo(from.Span);
        to.Span.Clear();
        Completed(world.Move(world.Request(opcode, mine, there)), mine.Length);
        Assert.True(from.Span.SequenceEqual(to.Span), $"{opcode} of {mine.Length}");
    }

    private static void Completed(EngineBatch batch, long length)
    {
        var status = batch.StatusOf(0);
        Assert.True(status == new TransferStatus(TransferState.Completed, (ulong)length),
            $"{status} {batch.FailureOf(0)}");
    }

    /// <summary>Packets that both devices send meanwhile, at the least: a busy machine has some sent again.</summary>
    private static long PacketsOf(Action action)
    {
        long least = long.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            long before = Packets();
            action();
            least = Math.Min(least, Packets() - before);
        }

        return least;
    }

    private static long Packets()
    {
        // Asked again within one tick of its clock (of 1 to 10 ms), the kernel gives what it gave before.
        Thread.Sleep(KernelTick);
        long packets = 0;
        foreach (string device in (string[])["rxe0", "rxe1"])
        {
            string counters = $"/sys/class/infiniband/{device}/ports/1/hw_counters";
            // And so for as many milliseconds as this says.
            File.WriteAllText($"{counters}/lifespan", "0");
            packets += long.Parse(File.ReadAllText($"{counters}/sent_pkts"), CultureInfo.InvariantCulture);
        }

        return packets;
    }
}
