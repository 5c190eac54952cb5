// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Verbs.Tests.Devices;
using Mooncake.Mesh.Verbs.Tests.Transfers;

namespace Mooncake.Mesh.Verbs.Tests.Engine;

/// <summary>The transfer engine's own transfers, over two real devices.</summary>
[Collection(RealDevices.Name)]
public sealed class EngineDeviceTests
{
    private const int Room = 20 << 20;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    public EngineDeviceTests() => RealDevices.SkipUnlessOurs();

    [Fact]
    public async Task Reads_and_writes_of_any_length_go_over_both_devices_and_nothing_is_left_of_them()
    {
        string before = await KernelObjects.IdleAsync();
        using (var pair = new CardEngines(Room))
        {
            foreach (long length in (long[])[1, 4096, 65_537, 16 << 20])
            {
                foreach (var opcode in (TransferOpcode[])[TransferOpcode.Write, TransferOpcode.Read])
                    AssertMoves(pair, opcode, length);
            }

            AssertMovesMany(pair, 512, 32 << 10);
            Assert.Equal(["rxe0", "rxe1"], pair.Near.RailLoads().Where(load => load.BytesPerSecond > 0
                && load.Device.StartsWith("rxe", StringComparison.Ordinal)).Select(load => load.Device));
            Assert.All(pair.Near.RailLoads(), load => Assert.Equal(0ul, load.InflightBytes));
            Assert.Contains("by rdma", pair.Near.ShowLinks(), StringComparison.Ordinal);
        }

        await KernelObjects.UntilAsync(before);
    }

    [Fact]
    public void What_is_not_registered_for_peers_is_refused_and_the_rest_of_the_batch_is_moved()
    {
        using var pair = new CardEngines(Room);
        Assert.Null(pair.Far.Unregister(pair.FarBytes.Range.Address));
        Assert.Null(pair.Far.Register(pair.FarBytes.Range.Address, 4096));
        Assert.Null(pair.Far.Register(pair.FarBytes.Range.Address + 4096, 4096, remoteAccessible: false));
        TransferRequest[] requests =
        [
            pair.Request(TransferOpcode.Write, 0, 4096),
            pair.Request(TransferOpcode.Write, 4096, 4096),
            pair.Request(TransferOpcode.Read, 8192, 4096),
            pair.Request(TransferOpcode.Write, 4095, 2),
        ];
        ulong batch = pair.Near.AllocateBatch(requests.Length).Value;
        Assert.Null(pair.Near.Submit(batch, requests));
        pair.Near.Wait(batch, Long);
        Assert.Equal([TransferState.Completed, TransferState.Failed, TransferState.Failed, TransferState.Failed],
            Enumerable.Range(0, 4).Select(task => pair.Near.GetStatus(batch, task).Value.State));
        Assert.Contains("not for peers", pair.Near.WhyFailed(batch, 1).Value, StringComparison.Ordinal);
        Assert.Contains("not registered", pair.Near.WhyFailed(batch, 2).Value, StringComparison.Ordinal);
    }

    [Fact]
    public void Memory_that_was_unregistered_is_out_of_reach_and_registered_anew_it_is_reached_again()
    {
        using var pair = new CardEngines(Room);
        nint address = pair.FarBytes.Range.Address;
        AssertMoves(pair, TransferOpcode.Write, 64 << 10);
        Assert.Null(pair.Far.Unregister(address));
        pair.FarBytes.Bytes.Clear();
        Assert.Equal(TransferState.Failed,
            pair.Near.Transfer([pair.Request(TransferOpcode.Write, 0, 64 << 10)]).Value.State);
        Assert.False(pair.FarBytes.Bytes.ContainsAnyExcept((byte)0));
        Assert.Null(pair.Far.Register(address, Room));
        AssertMoves(pair, TransferOpcode.Write, 64 << 10);
        AssertMoves(pair, TransferOpcode.Read, 64 << 10);
    }

    [Fact]
    public void Once_the_source_is_unregistered_nothing_is_written_to_it_any_more()
    {
        using var pair = new CardEngines(Room);
        pair.FarBytes.Bytes.Fill(1);
        AssertMoves(pair, TransferOpcode.Read, 4096);
        ulong batch = pair.Near.AllocateBatch(1).Value;
        Assert.Null(pair.Near.Submit(batch, [pair.Request(TransferOpcode.Read, 0, Room)]));
        Assert.Null(pair.Near.Unregister(pair.NearBytes.Range.Address));
        Assert.True(pair.Near.GetBatchStatus(batch).Value.IsFinal);
        pair.NearBytes.Bytes.Fill(2);
        pair.FarBytes.Bytes.Fill(3);
        Assert.Null(pair.Near.Register(pair.NearBytes.Range.Address, Room));
        Assert.False(pair.NearBytes.Bytes.ContainsAnyExcept((byte)2));
        AssertMoves(pair, TransferOpcode.Read, 1 << 20);
    }

    [Fact]
    public void A_segment_that_is_closed_under_way_still_gets_what_was_submitted()
    {
        using var pair = new CardEngines(Room);
        var (from, to) = pair.FillFor(TransferOpcode.Write, Room);
        ulong batch = pair.Near.AllocateBatch(1).Value;
        Assert.Null(pair.Near.Submit(batch, [pair.Request(TransferOpcode.Write, 0, Room)]));
        Assert.Null(pair.Near.CloseSegment(pair.Target));
        Assert.Equal(TransferState.Completed, pair.Near.Wait(batch, Long).Value.State);
        Assert.True(from.Bytes.SequenceEqual(to.Bytes));
        pair.OpenFar();
        AssertMoves(pair, TransferOpcode.Read, 4096);
    }

    [Fact]
    public void A_peer_that_ends_under_way_fails_what_is_left_and_its_next_life_is_reached()
    {
        using var pair = new CardEngines(Room);
        AssertMoves(pair, TransferOpcode.Write, 4096);
        ulong batch = pair.Near.AllocateBatch(1).Value;
        Assert.Null(pair.Near.Submit(batch, [pair.Request(TransferOpcode.Write, 0, Room)]));
        pair.EndFar();
        Assert.True(pair.Near.Wait(batch, Long).Value.IsFinal);
        pair.StartFar();
        Assert.Equal(pair.Target, pair.Near.OpenSegmentNoCache(pair.Far.SegmentName).Value);
        AssertMoves(pair, TransferOpcode.Write, 1 << 20);
        AssertMoves(pair, TransferOpcode.Read, 1 << 20);
    }

    [Theory]
    [InlineData(TransferTransports.Tcp | TransferTransports.Rdma, TransferTransports.Tcp)]
    [InlineData(TransferTransports.Tcp, TransferTransports.Tcp | TransferTransports.Rdma)]
    public void Where_one_side_uses_no_cards_tcp_takes_over(TransferTransports near, TransferTransports far)
    {
        using var pair = new CardEngines(1 << 20, near, far);
        AssertMoves(pair, TransferOpcode.Write, 1 << 20);
        AssertMoves(pair, TransferOpcode.Read, 1 << 20);
        Assert.Contains("by tcp", pair.Near.ShowLinks(), StringComparison.Ordinal);
    }

    [Fact]
    public void Cards_that_are_installed_later_reach_what_is_registered_before()
    {
        using var pair = new CardEngines(1 << 20, TransferTransports.None, TransferTransports.None, open: false);
        Assert.Null(pair.Near.InstallTransport("rdma"));
        Assert.Null(pair.Far.InstallTransport("rdma", """{"cpu:0":[["rxe0"],["rxe1"]]}"""));
        pair.OpenFar();
        AssertMoves(pair, TransferOpcode.Write, 1 << 20);
        Assert.Null(pair.Near.UninstallTransport("rdma"));
        Assert.Equal(TransferState.Failed, pair.Near.Transfer([pair.Request(TransferOpcode.Write, 0, 1)]).Value.State);
    }

    private static void AssertMoves(CardEngines pair, TransferOpcode opcode, long length)
    {
        var (from, to) = pair.FillFor(opcode, length);
        var status = pair.Near.Transfer([pair.Request(opcode, 0, length)]);
        Assert.Equal(new TransferStatus(TransferState.Completed, (ulong)length), status.Value);
        Assert.True(from.Bytes[..(int)length].SequenceEqual(to.Bytes[..(int)length]), $"{opcode} of {length}");
        Assert.False(to.Bytes[(int)length..].ContainsAnyExcept((byte)0), $"{opcode} of {length} went beyond");
    }

    /// <summary>A batch of requests, read and written by turns, each at its own place.</summary>
    private static void AssertMovesMany(CardEngines pair, int count, int length)
    {
        new Random(count).NextBytes(pair.NearBytes.Bytes);
        new Random(length).NextBytes(pair.FarBytes.Bytes);
        byte[] near = pair.NearBytes.Bytes.ToArray(), far = pair.FarBytes.Bytes.ToArray();
        var requests = new TransferRequest[count];
        for (int i = 0; i < count; i++)
        {
            requests[i] = pair.Request(i % 2 == 0 ? TransferOpcode.Read : TransferOpcode.Write, (long)i * length,
                length);
            var from = i % 2 == 0 ? far : near;
            from.AsSpan(i * length, length).CopyTo((i % 2 == 0 ? near : far).AsSpan(i * length));
        }

        Assert.Equal(new TransferStatus(TransferState.Completed, (ulong)((long)count * length)),
            pair.Near.Transfer(requests).Value);
        Assert.True(pair.NearBytes.Bytes.SequenceEqual(near) && pair.FarBytes.Bytes.SequenceEqual(far));
    }
}
