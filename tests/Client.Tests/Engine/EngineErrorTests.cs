// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>Every refusal has Mooncake's number.</summary>
public sealed class EngineErrorTests : EngineTests
{
    private static readonly ulong Top = ulong.MaxValue - 4095;

    [Fact]
    public void Numbers_and_layouts_are_those_of_Mooncake()
    {
        (TransferErrorCode Code, int Number)[] codes =
        [
            (TransferErrorCode.InvalidArgument, -1), (TransferErrorCode.TooManyRequests, -2),
            (TransferErrorCode.AddressNotRegistered, -3), (TransferErrorCode.BatchBusy, -4),
            (TransferErrorCode.DeviceNotFound, -6), (TransferErrorCode.AddressOverlapped, -7),
            (TransferErrorCode.Dns, -101), (TransferErrorCode.Socket, -102), (TransferErrorCode.MalformedJson, -103),
            (TransferErrorCode.RejectHandshake, -104), (TransferErrorCode.Metadata, -200),
            (TransferErrorCode.Endpoint, -201), (TransferErrorCode.Context, -202), (TransferErrorCode.Numa, -300),
            (TransferErrorCode.Clock, -301), (TransferErrorCode.Memory, -302), (TransferErrorCode.NotImplemented, -303),
        ];
        Assert.All(codes, pair => Assert.Equal(pair.Number, (int)pair.Code));
        Assert.Equal(40, Marshal.SizeOf<TransferRequest>());
        Assert.Equal(16, Marshal.SizeOf<TransferStatus>());
        Assert.Equal(16, Marshal.SizeOf<BufferEntry>());
        Assert.Equal([0, 1, 2, 3, 4, 5, 6], Enum.GetValues<TransferState>().Select(state => (int)state));
    }

    [Fact]
    public void Memory_that_cannot_be_registered_is_refused()
    {
        using var memory = new NativeBytes(1 << 20);
        nint at = memory.Address + (64 << 10);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.Register(0, 100)!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.Register(at, 0)!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.Register((nint)Top, 8192)!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.Register(at, 100, "gpu7")!.Code);
        Assert.Equal(TransferErrorCode.DeviceNotFound, Engine.Register(at, 100, "cuda:0")!.Code);
        Assert.Equal(TransferErrorCode.DeviceNotFound, Engine.AwaitStream([], 4096).Error!.Code);
        Assert.True(Engine.AwaitStream([], 0).Value);
        Assert.Null(Engine.Register(at, 8192, "cpu:0"));
        foreach (var (offset, length) in ((int, ulong)[])[(0, 8192), (0, 1), (8191, 1), (-1, 2), (-10, 20_000)])
            Assert.Equal(TransferErrorCode.AddressOverlapped, Engine.Register(at + offset, length)!.Code);
        Assert.Null(Engine.Register(at - 1, 1));
        Assert.Null(Engine.Register(at + 8192, 1));
        Assert.Equal(TransferErrorCode.AddressNotRegistered, Engine.Unregister(at + 1)!.Code);
        Assert.Null(Engine.Unregister(at));
        Assert.Equal(TransferErrorCode.AddressNotRegistered, Engine.Unregister(at)!.Code);

        // All or none.
        BufferEntry[] entries = [new(at, 100), new(at + 100, 100), new(at + 150, 10)];
        Assert.Equal(TransferErrorCode.AddressOverlapped, Engine.Register(entries)!.Code);
        Assert.Null(Engine.Register(entries.AsSpan(0, 2)));
        Assert.Equal(TransferErrorCode.AddressNotRegistered,
            Engine.Unregister([at, memory.Address, at + 100])!.Code);
        Assert.Null(Engine.Register(entries.AsSpan(0, 2)));
    }

    [Fact]
    public void The_allocators_memory_is_zeroed_and_freed_as_it_was_allocated()
    {
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.AllocateManaged(0).Error!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.AllocateManaged(ulong.MaxValue).Error!.Code);
        Assert.Equal(TransferErrorCode.Memory, Engine.AllocateManaged(1UL << 42).Error!.Code);
        nint managed = Engine.AllocateManaged(10_000).Value;
        Assert.Equal(0, managed % 4096);
        Assert.Equal((ulong)managed, Engine.GetFirstBufferAddress(0).Value);
        Assert.Equal(TransferErrorCode.AddressOverlapped, Engine.Register(managed + 9999, 1)!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.Unregister(managed)!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.FreeManaged(managed, 9999)!.Code);
        Assert.Null(Engine.FreeManaged(managed, 10_000));
        Assert.Equal(TransferErrorCode.AddressNotRegistered, Engine.FreeManaged(managed, 10_000)!.Code);
        Assert.Equal(TransferErrorCode.AddressNotRegistered, Engine.GetFirstBufferAddress(0).Error!.Code);
    }

    [Fact]
    public void Requests_that_cannot_be_start_nothing()
    {
        var here = Memory(4096);
        var good = new TransferRequest(TransferOpcode.Write, here.Address, 0, (ulong)here.Address, 100);
        ulong batch = Engine.AllocateBatch(2).Value;
        void Refused(TransferErrorCode code, params TransferRequest[] requests) =>
            Assert.Equal(code, Engine.Submit(batch, requests)!.Code);
        Refused(TransferErrorCode.TooManyRequests, good, good, good);
        Refused(TransferErrorCode.InvalidArgument, good, good with { Opcode = (TransferOpcode)2 });
        Refused(TransferErrorCode.InvalidArgument, good, good with { TargetId = 7 });
        Refused(TransferErrorCode.InvalidArgument, good, good with { TargetId = -1 });
        Refused(TransferErrorCode.InvalidArgument, good, good with { Source = 0 });
        Refused(TransferErrorCode.InvalidArgument, good, good with { Source = (nint)Top, Length = 8192 });
        Refused(TransferErrorCode.InvalidArgument, good, good with { TargetOffset = Top, Length = 8192 });
        Refused(TransferErrorCode.AddressNotRegistered, good, good with { Source = here.Address + 4000 });
        Refused(TransferErrorCode.AddressNotRegistered, good, good with { Source = 8 });
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.Submit(batch + 1, [good])!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.GetStatus(batch, 0).Error!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.GetStatus(batch + 1, 0).Error!.Code);
        Assert.Null(Engine.Submit(batch, [good, good]));
        Refused(TransferErrorCode.TooManyRequests, good);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.GetStatus(batch, 2).Error!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.GetStatus(batch, -1).Error!.Code);
        Assert.Null(Engine.FreeBatch(batch));
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.FreeBatch(batch)!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.AllocateBatch(0).Error!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.AllocateBatch(65_537).Error!.Code);
        // Whoever was refused holds nothing of the memory.
        Assert.Null(Engine.Unregister(here.Address));
    }

    [Fact]
    public void Segments_that_are_not_there_are_refused()
    {
        foreach (string name in (string[])["", "127.0.0.1", "a b:1", "127.0.0.1:99999", "0.0.0.0:15000"])
            Assert.Equal(TransferErrorCode.InvalidArgument, Engine.OpenSegment(name).Error!.Code);
        Assert.Equal(TransferErrorCode.Dns, Engine.OpenSegment("no-such-host.invalid:15000").Error!.Code);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var stranger = Task.Run(async () =>
        {
            using var peer = await listener.AcceptTcpClientAsync();
            await peer.GetStream().WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 400 Bad Request\r\n\r\n"));
            _ = await peer.GetStream().ReadAsync(new byte[4096]);
        });
        Assert.Equal(TransferErrorCode.RejectHandshake, Engine.OpenSegment($"127.0.0.1:{port}").Error!.Code);
        listener.Stop();
        Assert.Equal(TransferErrorCode.Socket, Engine.OpenSegment($"127.0.0.1:{port}").Error!.Code);
        Assert.Equal(TransferErrorCode.Socket, Engine.SendProbe($"127.0.0.1:{port}")!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.CloseSegment(1)!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.SendNotify(1, new("a", "b"))!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.SendNotify(0, new("a", new('x', 2 << 20)))!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.RemoveLocalSegment("another")!.Code);
        Assert.Null(Engine.RemoveLocalSegment(Engine.SegmentName));
        Assert.Equal(TransferErrorCode.DeviceNotFound, Engine.LocalTopology("no_such_card").Error!.Code);
        Assert.StartsWith("{\"cpu:0\":[[", Engine.LocalTopology().Value);
    }

    [Fact]
    public void Engines_need_the_same_secret_and_one_to_be_reached_from_afar()
    {
        var secret = ClusterSecret.Parse("0123456789abcdef"u8).Value;
        var options = new TransferEngineOptions { LocalName = "127.0.0.1", Secret = secret };
        using var guarded = TransferEngine.Create(options).Value;
        Assert.Equal(TransferErrorCode.RejectHandshake, Engine.OpenSegment(guarded.LocalAddress).Error!.Code);
        Assert.Equal(TransferErrorCode.RejectHandshake, guarded.OpenSegment(Engine.LocalAddress).Error!.Code);
        using var friend = TransferEngine.Create(options).Value;
        Assert.Null(friend.SendProbe(guarded.LocalAddress));
        using var stranger = TransferEngine.Create(options with { Cluster = "other" }).Value;
        Assert.Equal(TransferErrorCode.RejectHandshake, stranger.SendProbe(guarded.LocalAddress)!.Code);
        var afar = TransferEngine.Create(new TransferEngineOptions { LocalName = "127.0.0.1", Listen = "0.0.0.0" });
        Assert.Contains("without a secret", afar.Error!.Message);
    }

    [Fact]
    public void An_engine_that_cannot_be_is_not_made()
    {
        static TransferErrorCode Of(TransferEngineOptions options) => TransferEngine.Create(options).Error!.Code;
        var options = new TransferEngineOptions { LocalName = "127.0.0.1" };
        Assert.Equal(TransferErrorCode.Socket, Of(options with { LocalName = Engine.LocalAddress }));
        Assert.Equal(TransferErrorCode.NotImplemented, Of(options with { Metadata = "redis://127.0.0.1" }));
        Assert.Equal(TransferErrorCode.InvalidArgument, Of(options with { Metadata = "etcd://" }));
        Assert.Equal(TransferErrorCode.Metadata, Of(options with { Metadata = "etcd://127.0.0.1:1" }));
        Assert.Equal(TransferErrorCode.Dns, Of(options with { LocalName = "no-such-host.invalid:15000" }));
        Assert.Equal(TransferErrorCode.InvalidArgument, Of(options with { LocalName = "0.0.0.0" }));
        Assert.Equal(TransferErrorCode.InvalidArgument, Of(options with { Connections = 9 }));
        Assert.Equal(TransferErrorCode.InvalidArgument, Of(options with { TransferTimeout = TimeSpan.Zero }));
        Assert.Equal(TransferErrorCode.InvalidArgument, Of(options with { Port = 65_536 }));
        using var other = TransferEngine.Create(options with { LocalName = Engine.LocalAddress, AnyPort = true }).Value;
        Assert.NotEqual(Engine.Port, other.Port);
        Assert.InRange(other.Port, 15_000, 17_000);
        Assert.Equal($"127.0.0.1:{other.Port}", other.LocalAddress);
        using var v6 = TransferEngine.Create(options with { LocalName = "[::1]" }).Value;
        Assert.Equal($"[::1]:{v6.Port}", v6.LocalAddress);
        Assert.Null(Engine.SendProbe(v6.LocalAddress));
        Assert.True(Engine.OpenSegment($"localhost:{other.Port}").Succeeded);
        Assert.Equal(TransferErrorCode.NotImplemented, Engine.InstallTransport("nvlink")!.Code);
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.UninstallTransport("nvlink")!.Code);
        Assert.Null(Engine.UninstallTransport("cma"));
        Assert.Equal(TransferErrorCode.InvalidArgument, Engine.UninstallTransport("cma")!.Code);
        Assert.Null(Engine.InstallTransport("cma"));
    }

    [Fact]
    public void A_closed_engine_answers_an_error()
    {
        ulong batch = Engine.AllocateBatch(1).Value;
        var here = Memory(100);
        Engine.Dispose();
        Engine.Dispose();
        Assert.Equal(TransferErrorCode.Context, Engine.Register(here.Address, 10)!.Code);
        Assert.Equal(TransferErrorCode.Context, Engine.OpenSegment("127.0.0.1:1").Error!.Code);
        Assert.Equal(TransferErrorCode.Context, Engine.AllocateManaged(10).Error!.Code);
        Assert.Equal(TransferErrorCode.Context,
            Engine.Submit(batch, [new(TransferOpcode.Read, here.Address, 0, (ulong)here.Address, 1)])!.Code);
    }
}
