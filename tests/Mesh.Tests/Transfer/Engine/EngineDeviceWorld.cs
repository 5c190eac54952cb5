// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer.Engine;

/// <summary>Two engines, each with a double of the devices of one host, and memory of both kinds.</summary>
internal sealed class EngineDeviceWorld : IDisposable
{
    public static readonly TimeSpan Long = TimeSpan.FromSeconds(120);

    private readonly DeviceDouble.Host _host = new(2, 512 << 20);
    private readonly List<Action> _free = [];

    /// <param name="transports">What both may use.</param>
    /// <param name="timeout">How long a transfer may take.</param>
    /// <param name="cards">Has the cards of each; null: there are none.</param>
    public EngineDeviceWorld(TransferTransports transports = TransferTransports.All, TimeSpan? timeout = null,
        WorldCards? cards = null)
    {
        Here = new DeviceDouble(2, 0, _host) { CardsReach = cards is { ReachDevices: true } };
        There = new DeviceDouble(2, 0, _host) { CardsReach = cards is { ReachDevices: true } };
        if (cards is null)
            transports &= ~TransferTransports.Rdma;
        Mine = Start(Here, transports, timeout ?? Long, cards);
        Peer = Start(There, transports, timeout ?? Long, cards);
        Segment = Mine.Open(Peer.Name, ask: false).Value;
    }

    public DeviceDouble Here { get; }

    public DeviceDouble There { get; }

    /// <summary>The engine that asks.</summary>
    public EngineCore Mine { get; }

    /// <summary>The engine that is asked.</summary>
    public EngineCore Peer { get; }

    /// <summary>The other one's segment.</summary>
    public int Segment { get; }

    public static byte[] Mixed(int length, int seed = 1)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Registered memory of one of the engines: "host" or "cuda:N".</summary>
    public EngineBytes Memory(bool here, string where, int length)
    {
        var (engine, devices) = here ? (Mine, Here) : (Peer, There);
        var bytes = Unregistered(devices, where, length);
        Assert.Null(engine.Memory.Register((ulong)bytes.Address, (ulong)length, "*", isRemote: true));
        return bytes;
    }

    /// <summary>Memory that nobody has registered.</summary>
    public unsafe EngineBytes Unregistered(DeviceDouble devices, string where, int length)
    {
        if (where != "host")
        {
            var block = devices.Allocate(where, length).Value;
            _free.Add(block.Dispose);
            return new EngineBytes(block.Address, length, devices);
        }

        nint memory = (nint)NativeMemory.AlignedAlloc((nuint)length, 4096);
        _free.Add(() => NativeMemory.AlignedFree((void*)memory));
        return new EngineBytes(memory, length, null);
    }

    /// <summary>Does requests and waits for them.</summary>
    public EngineBatch Move(params TransferRequest[] requests)
    {
        var batch = Begin(requests);
        Assert.True(batch.Wait(Long, TimeProvider.System));
        return batch;
    }

    /// <summary>Starts requests.</summary>
    public EngineBatch Begin(params TransferRequest[] requests)
    {
        ulong id = Mine.Transfers.Allocate(requests.Length).Value;
        var error = Mine.Transfers.Submit(id, requests, null);
        Assert.True(error is null, error?.ToString());
        return Mine.Transfers.Find(id)!;
    }

    public TransferRequest Request(TransferOpcode opcode, EngineBytes mine, EngineBytes there, int? segment = null) =>
        new(opcode, mine.Address, segment ?? Segment, (ulong)there.Address, (ulong)mine.Length);

    public void Dispose()
    {
        Mine.Dispose();
        Peer.Dispose();
        _free.ForEach(free => free());
    }

    private static EngineCore Start(DeviceDouble devices, TransferTransports transports, TimeSpan timeout,
        WorldCards? cards)
    {
        var runtime = new MeshRuntime
        {
            Network = new SocketNetwork(),
            Devices = devices,
            Log = cards?.Log ?? NullLoggerFactory.Instance,
        };
        var settings = new EngineSettings("", PeerEndpoint.Parse("listen", "127.0.0.1").Value, "127.0.0.1", false,
            transports, "default", null, TimeSpan.FromSeconds(10), timeout,
            TimeSpan.FromSeconds(30), 2);
        return EngineCore.Start(settings, runtime, null, _ => cards!.Open(runtime)).Value;
    }
}

/// <summary>The cards of two engines.</summary>
/// <param name="Open">Opens them for one.</param>
/// <param name="ReachDevices">Whether they reach the doubles' memory, by its address.</param>
/// <param name="Log">Told of what the engines say.</param>
internal sealed record WorldCards(Func<MeshRuntime, TransferResult<IEngineCards>> Open, bool ReachDevices,
    ILoggerFactory Log);

/// <summary>Memory of the host or of a double.</summary>
internal sealed unsafe class EngineBytes(nint address, int length, DeviceDouble? device)
{
    public nint Address => address;

    public int Length => length;

    public Span<byte> Span => device is null ? new((void*)address, length) : device.BytesAt(address, length);

    public EngineBytes Part(int from, int bytes) => new(address + from, bytes, device);
}
