// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Nodes of one mesh in this process, on real loopback sockets and one embedded registry.</summary>
internal sealed class LocalMesh : IAsyncDisposable
{
    private readonly EmbeddedRegistryStore _registry = new(TimeProvider.System, RandomSource.System);

    public MeshRuntime Runtime { get; } = new() { Network = new SocketNetwork() };

    public List<MeshNode> Nodes { get; } = [];

    public EmbeddedRegistryStore Registry => _registry;

    public static async Task<LocalMesh> StartAsync(int nodes, long segmentBytes, TimeSpan? ttl = null)
    {
        var mesh = new LocalMesh();
        for (int i = 0; i < nodes; i++)
            await mesh.AddAsync($"n{i + 1}", segmentBytes, ttl);
        await mesh.ReadyAsync();
        return mesh;
    }

    public async Task<MeshNode> AddAsync(string nodeId, long segmentBytes, TimeSpan? ttl = null)
    {
        var node = await TryAddAsync(Options(nodeId, segmentBytes) with
        {
            LeaseTtl = ttl ?? TimeSpan.FromSeconds(10),
        });
        return node.Value;
    }

    /// <summary>Options of a node with one segment, or with none.</summary>
    public static MeshNodeOptions Options(string nodeId, long segmentBytes) => new()
    {
        NodeId = nodeId,
        Segments = segmentBytes == 0
            ? []
            : [new SegmentOptions { Length = segmentBytes, HugePages = false, PreTouch = false }],
    };

    /// <summary>Starts a node, or says why not.</summary>
    public async Task<MeshResult<MeshNode>> TryAddAsync(MeshNodeOptions options)
    {
        var node = await MeshNode.StartAsync(options, new EmbeddedRegistry(_registry, Runtime), Runtime,
            TestContext.Current.CancellationToken);
        if (node.Succeeded)
            Nodes.Add(node.Value);
        return node;
    }

    /// <summary>Waits until every node knows every node and all slots are complete.</summary>
    public async Task ReadyAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!Nodes.TrueForAll(n => n.Ready && n.View.Members.Count == Nodes.Count))
            await Task.Delay(10, limit.Token);
    }

    /// <summary>What an object of <paramref name="size"/> bytes takes: whole units of 4 KiB, at least one.</summary>
    public static long Room(long size) => Math.Max(1, (size + 4095) / 4096) * 4096;

    /// <summary>Room taken by live objects, of all nodes.</summary>
    public long LiveBytes => Nodes.Sum(n => n.Status().Memory.Live);

    /// <summary>
    /// Waits until nothing is being filled or still pinned, and the live bytes are <paramref name="bytes"/>.
    /// </summary>
    public async Task SettledAsync(long bytes)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!limit.IsCancellationRequested)
        {
            var memory = Nodes.ConvertAll(n => n.Status().Memory);
            if (memory.Sum(m => m.Live) == bytes && memory.Sum(m => m.Filling + m.Zombie) == 0)
                return;
            await Task.Delay(10);
        }

        Assert.Equal(bytes, LiveBytes);
        Assert.All(Nodes, n => Assert.Equal(0, n.Status().Memory.Filling + n.Status().Memory.Zombie));
    }

    /// <summary>A client with a deadline that a busy machine does not reach.</summary>
    public Task<MeshClient> ClientAsync(int node = 0) => MeshClient.ConnectAsync(new MeshClientOptions
    {
        Nodes = [Nodes[node].Endpoint],
        Deadline = TimeSpan.FromSeconds(20),
    });

    public async ValueTask DisposeAsync()
    {
        foreach (var node in Nodes)
            await node.DisposeAsync();
    }
}
