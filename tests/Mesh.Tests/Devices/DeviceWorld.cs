// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Who calls: what it shares with the holder.</summary>
public enum Caller
{
    /// <summary>The node's own process.</summary>
    Embedded,

    /// <summary>Another process of the host, with the same devices.</summary>
    SameHost,

    /// <summary>Another process of the host, without devices.</summary>
    NoDevices,

    /// <summary>A process of another host, with devices of its own.</summary>
    Remote,
}

/// <summary>A node with one segment, and callers of it; devices are doubles.</summary>
internal sealed class DeviceWorld : IAsyncDisposable
{
    public static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    public static readonly PutOptions Put = new() { Deadline = Long };
    public static readonly GetOptions Get = new() { Deadline = Long };

    private readonly DeviceDouble.Host _host = new(2, 256 << 20);
    private readonly List<IAsyncDisposable> _clients = [];

    private DeviceWorld(TransferWorld world, DeviceDouble devices, DeviceDouble.Host host) =>
        (World, Devices, _host) = (world, devices, host);

    public TransferWorld World { get; }

    /// <summary>The holder's.</summary>
    public DeviceDouble Devices { get; }

    public ObjectStore Store => World.Store;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static Task<DeviceWorld> StartAsync(params SegmentOptions[] segments) =>
        StartTieredAsync(new TierOptions(), segments);

    public static async Task<DeviceWorld> StartTieredAsync(TierOptions tiers, params SegmentOptions[] segments)
    {
        var host = new DeviceDouble.Host(2, 256 << 20);
        var devices = new DeviceDouble(host: host);
        var world = await TransferWorld.StartAsync(
            change: options => options with { Segments = segments, Tiers = tiers },
            adapt: runtime => runtime with { Devices = devices });
        return new DeviceWorld(world, devices, host);
    }

    /// <summary>A node whose one segment a device has, or the host.</summary>
    public static Task<DeviceWorld> StartAsync(string location, long bytes = 64 << 20) =>
        StartAsync(new SegmentOptions
        {
            Length = bytes, Location = location, HugePages = false, PreTouch = false,
        });

    /// <summary>The operations of the node itself.</summary>
    public MeshOperations Node() => World.Node.Operations;

    /// <summary>The operations of a caller, and its devices.</summary>
    public async Task<(MeshOperations Operations, DeviceDouble Devices)> CallerAsync(Caller caller)
    {
        if (caller == Caller.Embedded)
            return (World.Node.Operations, Devices);
        var devices = new DeviceDouble(host: caller == Caller.SameHost ? _host : new DeviceDouble.Host(2, 256 << 20));
        var runtime = new MeshRuntime
        {
            Network = new SocketNetwork(),
            Devices = caller == Caller.NoDevices ? null : devices,
        };
        var client = new ClientPeer("default", [World.Node.Endpoint], null, runtime,
            caller == Caller.Remote ? "" : HostIdentity.BootId);
        Assert.Null(await client.ConnectAsync(Long, Cancel));
        _clients.Add(client);
        return (client.Operations, devices);
    }

    /// <summary>Bytes that a transport has read, and written, for a caller.</summary>
    public static (long Read, long Written) Moved(MeshOperations operations, string transport)
    {
        foreach (var (name, read, written) in operations.Plan.Bytes())
        {
            if (name == transport)
                return (read, written);
        }

        return (0, 0);
    }

    public static byte[] Value(int size)
    {
        byte[] value = new byte[size];
        new Random(size + 1).NextBytes(value);
        return value;
    }

    /// <summary>A caller's buffer on a device, with bytes in it.</summary>
    public static (IDeviceBlock Block, NativeRange Range) Buffer(DeviceDouble devices, byte[] value,
        string location = "cuda:1")
    {
        var block = devices.Allocate(location, Math.Max(1, value.Length)).Value;
        value.CopyTo(devices.BytesAt(block.Address, value.Length));
        return (block, new NativeRange(block.Address, value.Length));
    }

    /// <summary>Waits until it holds; fails when that takes longer than a minute.</summary>
    public static async Task UntilAsync(Func<bool> holds)
    {
        long end = Environment.TickCount64 + (long)Long.TotalMilliseconds;
        while (!holds())
        {
            Assert.True(Environment.TickCount64 < end, "it does not come about");
            await Task.Delay(10, Cancel);
        }
    }

    public async Task<byte[]> GetAsync(MeshOperations operations, MeshKey key, GetOptions? options = null)
    {
        using var target = new ArrayTarget();
        var got = await operations.GetAsync(key, target, options ?? Get, Cancel);
        Assert.True(got.Succeeded, got.Error?.ToString());
        return target.Array;
    }

    public async ValueTask DisposeAsync()
    {
        Devices.Stalled = null;
        foreach (var client in _clients)
            await client.DisposeAsync();
        await World.DisposeAsync();
    }
}
