// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>Peers that die, come back, or stand still.</summary>
public sealed class EngineLossTests : EngineTests
{
    /// <summary>More than the buffers of two sockets hold.</summary>
    private const long Large = 96 << 20;

    [Theory]
    [InlineData(TransferTransports.Tcp)]
    [InlineData(TransferTransports.All)]
    public async Task A_killed_peer_fails_its_transfers_and_its_successor_is_another(TransferTransports transports)
    {
        Use(Open(transports));
        var here = Memory(Large, seed: 2);
        var first = await EngineChild.StartAsync();
        string address = first.Address;
        int segment = Engine.OpenSegment(address).Value;
        ulong there = await first.MemoryAsync("plain", Large);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, there, 1000).State);
        ulong batch = Engine.AllocateBatch(4).Value;
        first.Signal("STOP");
        if (transports == TransferTransports.Tcp)
        {
            Assert.Null(Engine.Submit(batch,
                [new(TransferOpcode.Write, here.Address, segment, there, Large),
                new(TransferOpcode.Read, here.Address, segment, there, 4096)]));
            Assert.Equal(TransferErrorCode.BatchBusy, Engine.FreeBatch(batch)!.Code);
        }

        first.Dispose();
        Assert.NotEqual(TransferState.Pending, Engine.Wait(batch, Long).Value.State);
        if (transports == TransferTransports.Tcp)
        {
            Assert.Equal(TransferState.Failed, Engine.GetStatus(batch, 0).Value.State);
            Assert.Equal(TransferState.Failed, Engine.GetStatus(batch, 1).Value.State);
        }

        Assert.Equal(TransferState.Failed, Move(TransferOpcode.Write, here.Address, segment, there, 1000).State);
        Assert.Equal(TransferErrorCode.Socket, Engine.OpenSegment(address).Error!.Code);

        // Another process at the same address: it is not written to by what was meant for the first.
        using var second = await EngineChild.StartAsync(name: address);
        Assert.Equal(address, second.Address);
        ulong again = await second.MemoryAsync("plain", Large);
        Assert.Equal(TransferState.Failed, Move(TransferOpcode.Write, here.Address, segment, again, Large).State);
        Assert.NotEqual("-1", await second.AskAsync($"differs {again} 4096 2"));
        Assert.Equal(segment, Engine.OpenSegment(address).Value);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, again, Large).State);
        Assert.Equal("-1", await second.AskAsync($"differs {again} {Large} 2"));
        Assert.Null(Engine.FreeBatch(batch));
        Assert.Null(Engine.SyncSegmentCache());
        Assert.Null(Engine.CloseSegment(segment));
        Assert.Null(Engine.CloseSegment(segment));
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.CloseSegment(segment)!.Code);
    }

    [Fact]
    public async Task A_peer_that_stands_still_times_out_and_nothing_is_touched_after()
    {
        Use(Open(TransferTransports.Tcp, TimeSpan.FromSeconds(1)));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync("plain", Large);
        await child.AskAsync($"fill {there} {Large} 5");
        var here = Memory(Large);
        child.Signal("STOP");
        ulong batch = Engine.AllocateBatch(2).Value;
        Assert.Null(Engine.Submit(batch,
            [new(TransferOpcode.Read, here.Address, segment, there, Large),
            new(TransferOpcode.Write, here.Address, segment, there, Large)]));
        Assert.Equal(TransferState.Timeout, Engine.Wait(batch, Long).Value.State);
        Assert.Contains("time", Engine.WhyFailed(batch, 0).Value);
        NativeBytes.Fill(here.Address, Large, 6);
        child.Signal("CONT");

        // The next transfer takes a fresh connection, and is there only after the old ones were noticed dead.
        Use(Open(TransferTransports.Tcp));
        var other = Memory(4096, seed: 7);
        segment = Engine.OpenSegment(child.Address).Value;
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Read, other.Address, segment, there, 4096).State);
        Assert.Equal(-1, NativeBytes.Difference(here.Address, Large, 6));
    }

    [Fact]
    public async Task Memory_that_is_unregistered_under_a_transfer_is_let_go()
    {
        Use(Open(TransferTransports.Tcp));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync("plain", Large);
        var here = Memory(Large, seed: 1);
        child.Signal("STOP");
        ulong batch = Engine.AllocateBatch(1).Value;
        Assert.Null(Engine.Submit(batch, [new(TransferOpcode.Write, here.Address, segment, there, Large)]));
        Assert.Null(Engine.Unregister(here.Address));
        Assert.Equal(TransferState.Canceled, Engine.GetStatus(batch, 0).Value.State);
        Assert.Null(Engine.FreeBatch(batch));
    }

    [Fact]
    public async Task An_engine_that_is_closed_under_its_transfers_ends_them_first()
    {
        Use(Open(TransferTransports.Tcp));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync("plain", Large);
        var here = Memory(Large, seed: 1);
        child.Signal("STOP");
        ulong batch = Engine.AllocateBatch(1).Value;
        Assert.Null(Engine.Submit(batch, [new(TransferOpcode.Write, here.Address, segment, there, Large)]));
        var ended = Engine.WhenEndedAsync(batch);
        Engine.Dispose();
        Assert.Equal(TransferState.Canceled, (await ended).Value.State);
    }

    [Theory]
    [InlineData(TransferTransports.Tcp)]
    [InlineData(TransferTransports.All)]
    public async Task Memory_that_the_peer_has_taken_back_is_not_written(TransferTransports transports)
    {
        const int Length = 256 << 10;
        Use(Open(transports));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync("raw", Length);
        var here = Memory(Length, seed: 123_456);
        var churned = child.AskAsync($"churn {there} {Length} 500");
        while (!churned.IsCompleted)
            Move(TransferOpcode.Write, here.Address, segment, there, Length);
        Assert.Equal("kept", await churned);
    }

    [Theory]
    [InlineData(TransferTransports.Tcp, "plain")]
    [InlineData(TransferTransports.All, "plain")]
    [InlineData(TransferTransports.Shm | TransferTransports.Tcp, "managed")]
    public async Task What_the_peer_has_unregistered_is_refused(TransferTransports transports, string kind)
    {
        Use(Open(transports));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync(kind, 8192);
        var here = Memory(8192, seed: 1);
        Assert.Equal(there, Engine.GetFirstBufferAddress(segment).Value);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, there, 8192).State);
        string ended = kind == "plain" ? $"unregister {there}" : $"free {there} 8192";
        Assert.Equal("None", await child.AskAsync(ended));
        ulong batch = Engine.AllocateBatch(1).Value;
        Assert.Null(Engine.Submit(batch, [new(TransferOpcode.Write, here.Address, segment, there, 8192)]));
        Assert.Equal(TransferState.Failed, Engine.Wait(batch, Long).Value.State);
        Assert.Contains("not registered", Engine.WhyFailed(batch, 0).Value);
        Assert.Equal(TransferErrorCode.AddressNotRegistered, Engine.GetFirstBufferAddress(segment).Error!.Code);
    }
}
