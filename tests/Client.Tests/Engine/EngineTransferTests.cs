// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>Transfers with an engine of another process, by each transport.</summary>
public sealed class EngineTransferTests : EngineTests
{
    private const int Many = 1024;

    public static TheoryData<TransferTransports, string> Ways => new()
    {
        { TransferTransports.Tcp, "plain" },
        { TransferTransports.Tcp, "managed" },
        { TransferTransports.Cma | TransferTransports.Tcp, "plain" },
        { TransferTransports.Shm | TransferTransports.Tcp, "managed" },
        { TransferTransports.All, "managed" },
        { TransferTransports.All, "plain" },
    };

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Bytes_get_there_and_back(TransferTransports transports, string kind)
    {
        Use(Open(transports));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        foreach (long length in (long[])[1, 4096, 4097, 16 << 20, (16 << 20) + 3])
        {
            ulong there = await child.MemoryAsync(kind, length);
            var here = Memory(length, seed: 5);
            var written = Move(TransferOpcode.Write, here.Address, segment, there, length);
            Assert.Equal(new TransferStatus(TransferState.Completed, (ulong)length), written);
            Assert.Equal("-1", await child.AskAsync($"differs {there} {length} 5"));

            await child.AskAsync($"fill {there} {length} 9");
            var read = Move(TransferOpcode.Read, here.Address, segment, there, length);
            Assert.Equal(new TransferStatus(TransferState.Completed, (ulong)length), read);
            Assert.Equal(-1, NativeBytes.Difference(here.Address, length, 9));
        }
    }

    [Theory]
    [InlineData(TransferTransports.Tcp)]
    [InlineData(TransferTransports.All)]
    public async Task A_gibibyte_gets_there_and_back(TransferTransports transports)
    {
        const long Length = 1L << 30;
        Use(Open(transports));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync("plain", Length);
        var here = Memory(Length, seed: 1);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, there, Length).State);
        Assert.Equal("-1", await child.AskAsync($"differs {there} {Length} 1"));
        NativeBytes.Fill(here.Address, Length, 2);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Read, here.Address, segment, there, Length).State);
        Assert.Equal(-1, NativeBytes.Difference(here.Address, Length, 1));
    }

    [Theory]
    [InlineData(TransferTransports.Tcp, 64)]
    [InlineData(TransferTransports.Tcp, 20_000)]
    [InlineData(TransferTransports.All, 64)]
    [InlineData(TransferTransports.All, 20_000)]
    public async Task Batches_of_1024_go_both_ways_at_once(TransferTransports transports, int length)
    {
        Use(Open(transports));
        using var child = await EngineChild.StartAsync(transports);
        int segment = Engine.OpenSegment(child.Address).Value;
        long bytes = (long)Many * length;
        ulong thereIn = await child.MemoryAsync("plain", bytes);
        ulong thereOut = await child.MemoryAsync("plain", bytes);
        await child.AskAsync($"fill {thereOut} {bytes} 3");
        var hereIn = Memory(bytes);
        var hereOut = Memory(bytes, seed: 4);
        var theirs = child.AskAsync($"move Write {Engine.LocalAddress} {thereOut} {hereIn.Address} {length} {Many}");

        var requests = new TransferRequest[Many];
        for (int i = 0; i < Many; i++)
        {
            requests[i] = new TransferRequest(TransferOpcode.Write, hereOut.Address + (i * length), segment,
                thereIn + (ulong)(i * length), (ulong)length);
        }

        ulong batch = Engine.AllocateBatch(Many).Value;
        Assert.Null(Engine.Submit(batch, requests));
        Assert.Equal(new TransferStatus(TransferState.Completed, (ulong)bytes), Engine.Wait(batch, Long).Value);
        for (int i = 0; i < Many; i++)
        {
            var status = Engine.GetStatus(batch, i).Value;
            Assert.Equal(new TransferStatus(TransferState.Completed, (ulong)length), status);
        }

        Assert.Null(Engine.FreeBatch(batch));
        Assert.Equal("Completed", await theirs);
        Assert.Equal(-1, NativeBytes.Difference(hereIn.Address, bytes, 3));
        Assert.Equal("-1", await child.AskAsync($"differs {thereIn} {bytes} 4"));
    }

    [Fact]
    public async Task Reads_writes_refusals_and_empty_requests_of_one_batch_do_not_disturb_each_other()
    {
        foreach (var transports in (TransferTransports[])[TransferTransports.Tcp, TransferTransports.All])
        {
            using var engine = Use(Open(transports));
            using var child = await EngineChild.StartAsync();
            int segment = engine.OpenSegment(child.Address).Value;
            ulong there = await child.MemoryAsync("plain", 65_536);
            ulong closed = await child.MemoryAsync("private", 65_536);
            await child.AskAsync($"fill {there} 65536 7");
            var here = Memory(65_536, seed: 8);
            ulong batch = engine.AllocateBatch(8).Value;
            Assert.Null(engine.Submit(batch,
            [
                new(TransferOpcode.Read, here.Address, segment, there, 1000),
                new(TransferOpcode.Write, here.Address + 5000, segment, closed, 1000),
                new(TransferOpcode.Write, here.Address + 5000, segment, there + 5000, 1000),
                new(TransferOpcode.Write, here.Address, segment, there + 65_000, 1000),
                new(TransferOpcode.Read, here.Address + 20_000, segment, 4096, 4096),
                new(TransferOpcode.Read, here.Address + 30_000, segment, there, 0),
                new(TransferOpcode.Read, here.Address + 40_000, 0, (ulong)here.Address + 5000, 1000),
            ]));
            engine.Wait(batch, Long);
            TransferState[] states = [.. Enumerable.Range(0, 7).Select(i => engine.GetStatus(batch, i).Value.State)];
            Assert.Equal([TransferState.Completed, TransferState.Failed, TransferState.Completed, TransferState.Failed,
                TransferState.Failed, TransferState.Completed, TransferState.Completed], states);
            Assert.Contains("registered", engine.WhyFailed(batch, 1).Value);
            Assert.Contains("not registered", engine.WhyFailed(batch, 3).Value);
            Assert.Equal("", engine.WhyFailed(batch, 2).Value);
            Assert.Equal(-1, NativeBytes.Difference(here.Address, 1000, 7));
            Assert.Equal("0", await child.AskAsync($"differs {closed} 65536 8"));
            Assert.Null(engine.FreeBatch(batch));
        }
    }

    [Fact]
    public async Task A_notify_comes_after_its_bytes_and_only_when_all_of_them_came()
    {
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync("plain", 4096);
        var here = Memory(4096, seed: 3);
        var good = new TransferRequest(TransferOpcode.Write, here.Address, segment, there, 4096);
        Assert.Equal(TransferState.Completed, Engine.Transfer([good, good], new("a", "first")).Value.State);
        var bad = good with { TargetOffset = 8192 };
        Assert.Equal(TransferState.Failed, Engine.Transfer([good, bad], new("a", "never")).Value.State);
        Assert.Null(Engine.SendNotify(segment, new("b", "é alone")));
        Assert.Equal("a=first|b=é alone", await child.AskAsync("notifies"));
        Assert.Equal("", await child.AskAsync("notifies"));

        // To oneself, by the own name.
        int own = Engine.OpenSegment(Engine.LocalAddress).Value;
        Assert.Equal(TransferEngine.LocalSegment, own);
        Assert.Null(Engine.SendNotify(own, new("c", "own")));
        Assert.Equal([new TransferNotify("c", "own")], Engine.TakeNotifies());
    }

    [Fact]
    public void Copies_within_the_engine_may_overlap()
    {
        const long Length = 24 << 20;
        var here = Memory(Length, seed: 6);
        Assert.Equal(TransferState.Completed,
            Move(TransferOpcode.Write, here.Address, TransferEngine.LocalSegment, (ulong)here.Address + 1000,
                1 << 20).State);
        Assert.Equal(-1, NativeBytes.Difference(here.Address + 1000, 1 << 20, 6));
        var other = Memory(Length);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Read, other.Address, TransferEngine.LocalSegment,
            (ulong)here.Address, Length).State);
        Assert.Equal(-1, NativeBytes.Difference(other.Address + 1000, 1 << 20, 6));
    }
}
