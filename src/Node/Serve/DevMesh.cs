// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>A mesh of several nodes in this process, on a registry in memory.</summary>
internal sealed class DevMesh : IAsyncDisposable
{
    private readonly List<(MeshNode Node, EmbeddedRegistry Registry)> _nodes = [];

    private DevMesh()
    {
    }

    /// <summary>The nodes, in the order of their numbers.</summary>
    internal IReadOnlyList<MeshNode> Nodes => [.. _nodes.Select(entry => entry.Node)];

    /// <summary>Starts <paramref name="count"/> nodes of one segment each.</summary>
    /// <exception cref="MeshException">A node did not start.</exception>
    internal static async Task<DevMesh> StartAsync(
        int count, long segmentSize, ILoggerFactory logs, CancellationToken cancel, ClusterSecret? secret = null,
        TransportChoice transport = TransportChoice.Auto)
    {
        var runtime = new MeshRuntime
        {
            Network = new SocketNetwork(),
            Log = logs,
            Verbs = parts => RdmaTransport.OpenAsync(new RdmaOptions(), parts),
        };
        var store = new EmbeddedRegistryStore(runtime.Time, runtime.Random);
        var mesh = new DevMesh();
        try
        {
            for (int i = 0; i < count; i++)
            {
                var registry = new EmbeddedRegistry(store, runtime);
                var options = new MeshNodeOptions
                {
                    Cluster = "default",
                    NodeId = $"dev-{i}",
                    Secret = secret,
                    Transport = transport,
                    Segments = [new SegmentOptions { Length = segmentSize }],
                };
                MeshResult<MeshNode> node = await MeshNode.StartAsync(options, registry, runtime, cancel);
                if (node.Error is { } error)
                {
                    await registry.DisposeAsync();
                    throw new MeshException(error);
                }

                mesh._nodes.Add((node.Value, registry));
            }

            return mesh;
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach ((MeshNode node, EmbeddedRegistry registry) in _nodes)
        {
            await node.DisposeAsync();
            await registry.DisposeAsync();
        }

        _nodes.Clear();
    }
}
