// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Tcp;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>Nothing that a stranger sends writes where it may not, ends the engine, or keeps it from serving.</summary>
public sealed class EngineHostileTests : EngineTests
{
    private const int Guard = 4096;

    private string Address => Engine.LocalAddress;

    [Fact]
    public async Task Strangers_are_hung_up_on()
    {
        var random = new Random(1);
        for (int i = 0; i < 50; i++)
        {
            byte[] bytes = new byte[random.Next(1, 70_000)];
            random.NextBytes(bytes);
            // A length word beyond the limit of an opening frame, so that nothing more is waited for.
            bytes[^1] = 0xff;
            if (bytes.Length >= 4)
                bytes[3] = 0x7f;
            else
                bytes = [0xff, 0xff, 0xff, 0x7f];
            await HostileEnginePeer.ShoutAsync(Address, bytes);
        }

        using var other = await HostileEnginePeer.OpenAsync(Address, Lane.Client);
        Assert.Empty(await other.ReceiveAsync(1));
        Assert.Null(Engine.SendProbe(Address));
        await StillServesAsync();
    }

    [Fact]
    public async Task Frames_that_cannot_be_close_the_connection()
    {
        (ulong, ulong)[] one = [(4096, 16)];
        byte[][] frames =
        [
            new byte[EngineRequest.LeastBytes],
            HostileEnginePeer.Frame((EngineOperation)99, 0, 0, []),
            HostileEnginePeer.Frame(EngineOperation.Write, 0, 0, []),
            HostileEnginePeer.Frame(EngineOperation.Write, -1, 16, one),
            HostileEnginePeer.Frame(EngineOperation.Write, EngineRequest.MostEntries + 1, 16, one),
            HostileEnginePeer.Frame(EngineOperation.Write, int.MaxValue, 16, one),
            HostileEnginePeer.Frame(EngineOperation.Write, 1, -1, one),
            HostileEnginePeer.Frame(EngineOperation.Write, 1, long.MaxValue, one),
            HostileEnginePeer.Frame(EngineOperation.Write, 1, 15, one),
            HostileEnginePeer.Frame(EngineOperation.Write, 1, 0, [(4096, 0)]),
            HostileEnginePeer.Frame(EngineOperation.Write, 1, 16, [(4096, ulong.MaxValue)]),
            HostileEnginePeer.Frame(EngineOperation.Write, 2, 16, [(4096, ulong.MaxValue - 15), (4096, 32)]),
            HostileEnginePeer.Frame(EngineOperation.Read, 1, EngineRequest.MostBytes + 1,
                [(4096, EngineRequest.MostBytes + 1)]),
            HostileEnginePeer.Frame(EngineOperation.Notify, NotifyQueue.MostNameBytes + 1, 0, []),
            HostileEnginePeer.Frame(EngineOperation.Notify, 1, NotifyQueue.MostTextBytes + 1, []),
            HostileEnginePeer.Frame(EngineOperation.Local, 0, 1, []),
            HostileEnginePeer.Frame(EngineOperation.Probe, 1, 0, []),
            HostileEnginePeer.Frame(EngineOperation.FirstAddress, 0, 8, []),
        ];
        foreach (byte[] frame in frames)
        {
            using var peer = await HostileEnginePeer.OpenAsync(Address);
            await peer.SendAsync(frame);
            Assert.Empty(await peer.ReceiveAsync(1));
        }

        await StillServesAsync();
    }

    [Fact]
    public async Task Nothing_beyond_what_is_registered_is_read_or_written()
    {
        using var memory = new NativeBytes(3 * Guard);
        NativeBytes.Fill(memory.Address, memory.Length, 1);
        ulong first = (ulong)memory.Address + Guard;
        Assert.Null(Engine.Register((nint)first, Guard));
        using var closed = new NativeBytes(Guard);
        Assert.Null(Engine.Register(closed.Address, Guard, remoteAccessible: false));
        (ulong Address, ulong Length)[] places =
        [
            (first - 1, 2), (first + Guard - 1, 2), (first - 1, Guard + 2), (first + Guard, 1), (0, 1), (8, 8),
            (ulong.MaxValue, 1), (ulong.MaxValue - 100, 4096), (0xffff_8000_0000_0000, 4096), (first, 2 * Guard),
            ((ulong)closed.Address, 1),
        ];
        using var peer = await HostileEnginePeer.OpenAsync(Address);
        foreach (var place in places)
        {
            byte[] bytes = new byte[place.Length];
            bytes.AsSpan().Fill(0xee);
            var refused = place.Address == (ulong)closed.Address ? EntryStatus.NotRemote : EntryStatus.NotRegistered;
            await peer.SendAsync(HostileEnginePeer.Frame(EngineOperation.Write, 1, bytes.Length, [place], bytes));
            byte[] answer = await peer.ReceiveAsync(EngineAnswer.LengthOf(1));
            Assert.Equal((byte)refused, answer[EngineAnswer.HeadBytes]);
            await peer.SendAsync(HostileEnginePeer.Frame(EngineOperation.Read, 1, bytes.Length, [place]));
            answer = await peer.ReceiveAsync(EngineAnswer.LengthOf(1));
            Assert.Equal(new EngineAnswer(EntryStatus.Done, 1, 7, 0), EngineAnswer.Read(answer));
            Assert.Equal((byte)refused, answer[EngineAnswer.HeadBytes]);
        }

        // What is between two refusals is taken, in its place.
        byte[] three = new byte[24];
        await peer.SendAsync(HostileEnginePeer.Frame(EngineOperation.Write, 3, 24,
            [(first - 8, 8), (first, 8), (0, 8)], three));
        byte[] statuses = (await peer.ReceiveAsync(EngineAnswer.LengthOf(3)))[EngineAnswer.HeadBytes..][..3];
        Assert.Equal([(byte)EntryStatus.NotRegistered, (byte)EntryStatus.Done, (byte)EntryStatus.NotRegistered],
            statuses);
        unsafe
        {
            Assert.Equal(0UL, *(ulong*)first);
            NativeBytes.Fill(memory.Address, Guard + 8, 1);
        }

        Assert.Equal(-1, NativeBytes.Difference(memory.Address, memory.Length, 1));
        Assert.Equal(-1, closed.Length == Guard ? IndexOfOther(closed, 0) : 0);
    }

    [Fact]
    public async Task A_peer_that_stops_within_a_frame_keeps_no_memory()
    {
        using var memory = new NativeBytes(1 << 20);
        Assert.Null(Engine.Register(memory.Address, 1 << 20));
        var place = ((ulong)memory.Address, 1UL << 20);
        using var silent = await HostileEnginePeer.OpenAsync(Address);
        await silent.SendAsync(HostileEnginePeer.Frame(EngineOperation.Write, 1, 1 << 20, [place], new byte[1000]));
        using var gone = await HostileEnginePeer.OpenAsync(Address);
        await gone.SendAsync(HostileEnginePeer.Frame(EngineOperation.Write, 1, 1 << 20, [place], new byte[1000]));
        gone.Dispose();
        Assert.Null(Engine.Unregister(memory.Address));
        NativeBytes.Fill(memory.Address, memory.Length, 3);
        await silent.SendAsync(new byte[1 << 20]);
        Assert.Equal(-1, NativeBytes.Difference(memory.Address, memory.Length, 3));
    }

    [Fact]
    public async Task Boards_of_others_are_not_believed()
    {
        byte[] nonce = new byte[32];
        int own = Environment.ProcessId;
        BoardOffer[] offers =
        [
            new(own, 0, 4096, 0, nonce), new(own, int.MaxValue, 4096, 0, nonce), new(own, -1, 4096, 0, nonce),
            new(1, 0, 4096, 0, nonce), new(-1, 0, 4096, 0, nonce), new(int.MaxValue, 0, 4096, 0, nonce),
            new(own, 1, 4096, int.MaxValue, nonce), new(own, 1, 4096, -1, nonce), new(own, 2, ulong.MaxValue, 9, nonce),
        ];
        for (int descriptor = 0; descriptor < 64; descriptor++)
            offers = [.. offers, new(own, descriptor, 4096, 0, nonce)];
        foreach (var offer in offers)
        {
            using var peer = await HostileEnginePeer.OpenAsync(Address);
            byte[] bytes = new byte[BoardOffer.Bytes];
            offer.Write(bytes);
            await peer.SendAsync(HostileEnginePeer.Frame(EngineOperation.Local, 0, bytes.Length, [], bytes));
            var answer = EngineAnswer.Read(await peer.ReceiveAsync(EngineAnswer.LeastBytes));
            Assert.Equal(EntryStatus.NotLocal, answer.Status);
        }

        await StillServesAsync();
    }

    [Fact]
    public async Task Messages_beyond_the_bound_are_refused()
    {
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        var large = new TransferNotify("n", new string('x', NotifyQueue.MostTextBytes));
        TransferError? refused = null;
        int sent = 0;
        while (refused is null && sent < 100)
        {
            refused = Engine.SendNotify(segment, large);
            sent += refused is null ? 1 : 0;
        }

        Assert.Equal(NotifyQueue.MostWaitingBytes / (NotifyQueue.MostTextBytes + 1), sent);
        Assert.Equal(TransferErrorCode.TooManyRequests, refused!.Code);
        Assert.Equal(sent, (await child.AskAsync("notifies")).Split('|').Length);
        Assert.Null(Engine.SendNotify(segment, large));
    }

    [Fact]
    public async Task Many_that_say_nothing_keep_nobody_out()
    {
        var silent = new List<HostileEnginePeer>();
        for (int i = 0; i < 200; i++)
            silent.Add(await HostileEnginePeer.OpenAsync(Address));
        await StillServesAsync();
        silent.ForEach(peer => peer.Dispose());
    }

    private static unsafe long IndexOfOther(NativeBytes memory, byte value) =>
        new ReadOnlySpan<byte>((void*)memory.Address, (int)memory.Length).IndexOfAnyExcept(value);

    private async Task StillServesAsync()
    {
        using var child = await EngineChild.StartAsync(TransferTransports.Tcp);
        ulong theirs = await child.MemoryAsync("plain", 4096);
        await child.AskAsync($"fill {theirs} 4096 4");
        var here = Memory(4096);
        Assert.Equal("Completed", await child.AskAsync($"move Write {Address} {theirs} {here.Address} 4096 1"));
        Assert.Equal(-1, NativeBytes.Difference(here.Address, 4096, 4));
    }
}
