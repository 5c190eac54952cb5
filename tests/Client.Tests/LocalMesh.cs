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
        var options = new MeshNodeOptions
        {
            NodeId = nodeId,
            LeaseTtl = ttl ?? TimeSpan.FromSeconds(10),
            Segments = segmentBytes == 0
                ? []
                : [new SegmentOptions { Length = segmentBytes, HugePages = false, PreTouch = false }],
        };
        var node = await MeshNode.StartAsync(options, new EmbeddedRegistry(_registry, Runtime), Runtime,
            TestContext.Current.CancellationToken);
        Nodes.Add(node.Value);
        return node.Value;
    }

    /// <summary>Waits until every node knows every node and all slots are complete.</summary>
    public async Task ReadyAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!Nodes.TrueForAll(n => n.Ready && n.View.Members.Count == Nodes.Count))
            await Task.Delay(10, limit.Token);
    }

    public Task<MeshClient> ClientAsync(int node = 0) =>
        MeshClient.ConnectAsync(new MeshClientOptions { Nodes = [Nodes[node].Endpoint] });

    public async ValueTask DisposeAsync()
    {
        foreach (var node in Nodes)
            await node.DisposeAsync();
    }
}
