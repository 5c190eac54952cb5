// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>A node with memory, on real sockets, and what a client needs to make transports to it.</summary>
internal sealed class TransferWorld : IAsyncDisposable
{
    private readonly string _directory;

    private TransferWorld(string directory, MeshNode node, MeshRuntime runtime)
    {
        _directory = directory;
        Node = node;
        Runtime = runtime;
        Record = node.View.Find(node.NodeId)!;
    }

    public MeshNode Node { get; }

    public MeshRuntime Runtime { get; }

    /// <summary>The node as its view has it.</summary>
    public NodeRecord Record { get; }

    public ObjectStore Store => Node.Holder.Store;

    public static async Task<TransferWorld> StartAsync(long segmentBytes = 128 << 20,
        Func<MeshNodeOptions, MeshNodeOptions>? change = null, Func<MeshRuntime, MeshRuntime>? adapt = null)
    {
        string directory = System.IO.Directory.CreateTempSubdirectory("mesh-transfer-").FullName;
        var runtime = new MeshRuntime { Network = new SocketNetwork() };
        runtime = adapt?.Invoke(runtime) ?? runtime;
        var node = await StartNodeAsync(directory, runtime, segmentBytes, change);
        return new TransferWorld(directory, node, runtime);
    }

    public static async Task<MeshNode> StartNodeAsync(string directory, MeshRuntime runtime, long segmentBytes,
        Func<MeshNodeOptions, MeshNodeOptions>? change = null)
    {
        var registry = new EmbeddedRegistryStore(TimeProvider.System, RandomSource.System);
        var options = new MeshNodeOptions
        {
            NodeId = "holder",
            SocketPath = Path.Combine(directory, "mesh.sock"),
            Segments = [new SegmentOptions { Length = segmentBytes, HugePages = false, PreTouch = false }],
        };
        var node = await MeshNode.StartAsync(change?.Invoke(options) ?? options,
            new EmbeddedRegistry(registry, runtime), runtime, TestContext.Current.CancellationToken);
        return node.Value;
    }

    /// <summary>
    /// Opens connections as a client does, however busy the machine; with no boot id, over tcp alone.
    /// </summary>
    public PeerDialer Dialer(bool sameHost = true) =>
        new(Hello, new Handshake(null, Runtime), Runtime, sameHost ? HostIdentity.BootId : "",
            TimeSpan.FromSeconds(60));

    /// <summary>A client as another process would be, with or without what needs the same host.</summary>
    public async Task<ClientPeer> ClientAsync(bool sameHost = true)
    {
        var client = new ClientPeer("default", [Node.Endpoint], null, Runtime, sameHost ? HostIdentity.BootId : "");
        Assert.Null(await client.ConnectAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken));
        return client;
    }

    public MeshCalls Calls()
    {
        var handler = new PeerHandler(Runtime);
        return new MeshCalls(Links(handler), handler, "");
    }

    /// <summary>Connections to nodes, as a client makes them.</summary>
    public PeerLinks Links(PeerHandler? handler = null) =>
        new(Hello, new Handshake(null, Runtime), handler ?? new PeerHandler(Runtime), Runtime, "");

    /// <summary>A sealed object: it can be read, and no flow of the node will ever look at it.</summary>
    public HeldObject Hold(ReadOnlySpan<byte> bytes) =>
        TryHold(bytes) ?? throw new InvalidOperationException("no room");

    public unsafe HeldObject? TryHold(ReadOnlySpan<byte> bytes)
    {
        var reserved = Store.Reserve(new MeshKey("k"), 1, bytes.Length);
        if (!reserved.Succeeded)
            return null;
        bytes.CopyTo(new Span<byte>(HostBytes.Of(reserved.Value.BytesOf(0)), bytes.Length));
        return Store.Seal(reserved.Value, 0);
    }

    /// <summary>A reservation whose bytes may be written; its id.</summary>
    public ulong Reserve(long size) => Node.Holder.Book.Add(Store.Reserve(new MeshKey("k"), 1, size).Value,
        new PutHead(new MeshKey("k"), 1, size, 1, false, 60_000), null).Value;

    public ExtentRead ReadOf(HeldObject held) =>
        new(Record, held.Extent.SegmentId, held.Extent.Offset, held.Extent.Generation, held.Size);

    public static Hello Hello(Lane lane, string wanted) => new()
    {
        Cluster = "default",
        Lane = lane,
        NodeId = "",
        Incarnation = 0,
        WantedNode = wanted,
        BootId = HostIdentity.BootId,
    };

    public async ValueTask DisposeAsync()
    {
        await Node.DisposeAsync();
        System.IO.Directory.Delete(_directory, recursive: true);
    }
}

/// <summary>Native memory of a caller, with guard bytes at both ends.</summary>
internal sealed unsafe class GuardedMemory : IDisposable
{
    private const int Guard = 4096;
    private const byte Mark = 0xA5;
    private readonly byte* _memory;
    private readonly long _length;

    public GuardedMemory(long length)
    {
        _length = length;
        _memory = (byte*)NativeMemory.AlignedAlloc((nuint)(length + (2 * Guard)), 64);
        new Span<byte>(_memory, Guard).Fill(Mark);
        new Span<byte>(_memory + Guard + length, Guard).Fill(Mark);
        Bytes.Clear();
    }

    public NativeRange Range => new((nint)(_memory + Guard), _length);

    public Span<byte> Bytes => new(_memory + Guard, (int)_length);

    public Span<ulong> Words => MemoryMarshal.Cast<byte, ulong>(Bytes);

    public void AssertGuards()
    {
        Assert.Equal(-1, new Span<byte>(_memory, Guard).IndexOfAnyExcept(Mark));
        Assert.Equal(-1, new Span<byte>(_memory + Guard + _length, Guard).IndexOfAnyExcept(Mark));
    }

    public void Dispose() => NativeMemory.AlignedFree(_memory);
}
