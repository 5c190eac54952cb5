// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>Which transport is used within a host, and what becomes of it.</summary>
[Collection(nameof(AloneWithMappings))]
public sealed class EngineLocalTests : EngineTests
{
    [Theory]
    [InlineData(TransferTransports.All, "cma")]
    [InlineData(TransferTransports.Shm | TransferTransports.Tcp, "shm")]
    [InlineData(TransferTransports.Tcp, "tcp")]
    public async Task The_best_transport_is_used_and_said(TransferTransports transports, string used)
    {
        Use(Open(transports));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        Assert.Contains($"\"transport\":\"{used}\"", Engine.ShowLinks(json: true));
        ulong there = await child.MemoryAsync("managed", 1 << 20);
        var here = Memory(1 << 20, seed: 4);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, there, 1 << 20).State);
        // The engine's memory is copied to directly wherever shared memory may be used.
        Assert.Equal(transports.HasFlag(TransferTransports.Shm), Mappings() > 0);
        Assert.Equal(0UL, Engine.RailLoads().Single(load => load.Device == used).InflightBytes);
        Assert.True(Engine.RailLoads().Single(load => load.Device == used).BytesPerSecond > 0);
        Assert.Equal(used == "tcp", Engine.RailLoads().Single(load => load.Device == "tcp").BytesPerSecond > 0);
    }

    [Fact]
    public async Task Memory_that_a_peer_frees_is_unmapped_here()
    {
        Use(Open(TransferTransports.Shm | TransferTransports.Tcp));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        var here = Memory(4096, seed: 1);
        ulong kept = await child.MemoryAsync("managed", 4096);
        for (int i = 0; i < 20; i++)
        {
            ulong there = await child.MemoryAsync("managed", 4096);
            Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, there, 4096).State);
            Assert.Equal("-1", await child.AskAsync($"differs {there} 4096 1"));
            Assert.Equal("None", await child.AskAsync($"free {there} 4096"));
        }

        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, kept, 4096).State);
        Assert.Equal(1, Mappings());
        Assert.Null(Engine.CloseSegment(segment));
        Assert.Equal(0, Mappings());
    }

    [Theory]
    [InlineData("plain")]
    [InlineData("managed")]
    public async Task Processes_that_may_not_see_each_other_take_tcp(string kind)
    {
        Assert.SkipUnless(Environment.UserName == "root", "only root can start a process of another user");
        using var child = await EngineChild.StartAsync(name: "nobody@127.0.0.1");
        int segment = Engine.OpenSegment(child.Address).Value;
        Assert.Contains("\"transport\":\"tcp\"", Engine.ShowLinks(json: true));
        ulong there = await child.MemoryAsync(kind, 100_000);
        var here = Memory(100_000, seed: 4);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, there, 100_000).State);
        Assert.Equal("-1", await child.AskAsync($"differs {there} 100000 4"));
        await child.AskAsync($"fill {there} 100000 5");
        Assert.Equal("Completed",
            await child.AskAsync($"move Write {Engine.LocalAddress} {there} {here.Address} 1000 100"));
        Assert.Equal(-1, NativeBytes.Difference(here.Address, 100_000, 5));
    }

    [Fact]
    public async Task What_is_not_allowed_is_not_used()
    {
        Use(Open(TransferTransports.Shm));
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        var here = Memory(4096, seed: 1);
        ulong managed = await child.MemoryAsync("managed", 4096);
        ulong plain = await child.MemoryAsync("plain", 4096);
        Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, here.Address, segment, managed, 4096).State);
        Assert.Equal(TransferState.Failed, Move(TransferOpcode.Write, here.Address, segment, plain, 4096).State);
        using var far = await EngineChild.StartAsync(TransferTransports.Tcp);
        Assert.Equal(TransferErrorCode.Endpoint, Engine.OpenSegment(far.Address).Error!.Code);
    }

    [Fact]
    public void A_copy_under_way_is_seen_by_whoever_wants_the_memory_back()
    {
        using var reader = EngineBoard.Create(RandomSource.System).Value;
        using var owner = new RegisteredMemory(EngineBoard.Create(RandomSource.System).Value);
        int cells = reader.TakeCells();
        var board = PeerBoard.TryOpen(BoardOffer.Of(reader, cells));
        Assert.NotNull(board);
        Assert.True(board.CanCopy());
        var sessions = new ServedSessions();
        Assert.True(sessions.TryEnter(board));
        Assert.Null(owner.Add(4096, 4096, "*", isRemote: true, block: null));
        ulong now = owner.Board.Sequence;
        reader.Cell(cells + 3) = now + 1;
        ulong after = owner.Close(owner.At(4096)!);
        Assert.True(after > now);
        Assert.False(sessions.AreBeyond(after));
        reader.Cell(cells + 3) = after + 1;
        Assert.True(sessions.AreBeyond(after));
        reader.Cell(cells + 3) = 0;
        Assert.True(sessions.AreBeyond(after));
        sessions.Leave(board);
        reader.Cell(cells + 3) = now + 1;
        Assert.True(sessions.AreBeyond(after));
    }

    private static int Mappings() =>
        File.ReadLines("/proc/self/maps").Count(line => line.Contains("memfd:mooncake-engine-memory"));
}

/// <summary>Tests that count mappings or descriptors of the whole process.</summary>
[CollectionDefinition(nameof(AloneWithMappings), DisableParallelization = true)]
public sealed class AloneWithMappings;
