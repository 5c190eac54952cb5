// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Cluster;

/// <summary>A process joins as a node, puts, and asks for what it has put while the others still hear of it.</summary>
[Trait("needs", "etcd")]
public sealed class NewNodeTests
{
    private const int Joins = 20;

    [Fact]
    public async Task What_a_node_puts_right_after_its_start_it_finds_at_once()
    {
        var cancel = TestContext.Current.CancellationToken;
        await using var mesh = await ServeMesh.StartAsync(2, "64MiB");
        var runtime = new MeshRuntime { Network = new SocketNetwork() };
        await using var registry = EtcdRegistry.Create(
            new EtcdRegistryOptions { Endpoints = mesh.Etcd.Endpoint, Cluster = ServeMesh.Cluster }, runtime).Value;
        for (int i = 0; i < Joins; i++)
        {
            var started = await MeshNode.StartAsync(OptionsOf($"new-{i}"), registry, runtime, cancel);
            Assert.True(started.Succeeded, started.Error?.Message);
            await using var node = started.Value;
            await using var client = MeshClient.For(node, TimeSpan.FromSeconds(5));
            var key = new MeshKey($"new/{i}");
            var put = await client.TryPutAsync(key, new byte[] { 1, 2, 3 }, cancel: cancel);
            Assert.True(put.Succeeded, $"join {i}: {put.Error?.Message}");
            var got = await client.TryGetAsync(key, cancel: cancel);
            Assert.True(got.Succeeded, $"join {i}: {got.Error?.Message}");
        }
    }

    private static MeshNodeOptions OptionsOf(string nodeId) => new()
    {
        Cluster = ServeMesh.Cluster,
        NodeId = nodeId,
        Listen = "127.0.0.1:0",
        Segments = [new SegmentOptions { Length = 32 << 20 }],
    };
}
