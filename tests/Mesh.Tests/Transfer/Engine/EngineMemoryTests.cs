// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Engine.Tcp;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer.Engine;

/// <summary>Memory is given back when nobody uses it, and only then.</summary>
public sealed class EngineMemoryTests
{
    [Fact]
    public async Task Memory_that_a_process_stands_still_upon_stays_registered_until_it_lets_go()
    {
        using var copier = EngineBoard.Create(RandomSource.System).Value;
        using var registered = new RegisteredMemory(EngineBoard.Create(RandomSource.System).Value);
        var sessions = new ServedSessions();
        var runtime = new MeshRuntime { Network = new SocketNetwork() };
        await using var server = new EngineServer(new ServedParts(registered, new NotifyQueue(), sessions), runtime);
        await using var cards = new EngineCardPart(static _ => throw new NotSupportedException(), registered,
            new PeerHandler(runtime), static () => throw new NotSupportedException());
        var memory = new EngineMemory(registered, server, sessions, new ActiveWorks(), cards,
            new EngineDevices(null, runtime), TimeProvider.System);
        int cells = copier.TakeCells();
        var board = PeerBoard.TryOpen(BoardOffer.Of(copier, cells))!;
        Assert.True(sessions.TryEnter(board));

        Assert.Null(memory.Register(4096, 4096, "*", isRemote: true));
        copier.Cell(cells) = registered.Board.Sequence + 1;
        Assert.Equal(TransferErrorCode.BatchBusy, memory.Unregister(4096)!.Code);
        Assert.Null(registered.Enter(4096, 1));
        Assert.Null(registered.EnterFor(4096, 1, out _));
        Assert.Equal(TransferErrorCode.AddressOverlapped, memory.Register(4096, 1, "*", isRemote: true)!.Code);
        copier.Cell(cells) = 0;
        Assert.Null(memory.Unregister(4096));
        Assert.Null(memory.Register(4096, 1, "*", isRemote: true));
        sessions.Leave(board);
    }

    [Fact]
    public void A_range_is_left_as_often_as_it_was_entered()
    {
        using var registered = new RegisteredMemory(EngineBoard.Create(RandomSource.System).Value);
        Assert.Null(registered.Add(4096, 4096, "*", isRemote: false, block: null));
        Assert.Null(registered.Add(8192, 4096, "*", isRemote: true, block: null));
        Assert.Null(registered.Enter(8000, 500));
        Assert.Null(registered.Enter(4095, 1));
        Assert.Null(registered.Enter(12_288, 1));
        var region = registered.Enter(8192, 4096)!;
        Assert.False(region.IsIdle);
        Assert.Null(registered.EnterFor(4096, 1, out var status));
        Assert.Equal(EntryStatus.NotRemote, status);
        Assert.Same(region, registered.EnterFor(12_287, 1, out status));
        registered.Close(region);
        Assert.Null(registered.Enter(8192, 1));
        region.Leave();
        region.Leave();
        Assert.True(region.IsIdle);
        Assert.True(registered.Remove(region));
        Assert.False(registered.Remove(region));
    }

    [Fact]
    public void As_many_ranges_as_there_are_places_are_registered()
    {
        using var registered = new RegisteredMemory(EngineBoard.Create(RandomSource.System).Value);
        for (ulong i = 0; i < EngineBoard.MostRegions; i++)
            Assert.Null(registered.Add((i + 1) * 4096, 4096, "*", isRemote: true, block: null));
        Assert.Equal(TransferErrorCode.TooManyRequests,
            registered.Add(1UL << 40, 1, "*", isRemote: true, block: null)!.Code);
        var region = registered.At(4096)!;
        registered.Close(region);
        Assert.True(registered.Remove(region));
        Assert.Null(registered.Add(1UL << 40, 1, "*", isRemote: true, block: null));
    }
}
