// SPDX-License-Identifier: Apache-2.0

using System.Text;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>A mesh with a secret: who knows it does everything over every lane, nobody else gets through any.</summary>
public sealed class SecretTests : IAsyncLifetime
{
    private const int Large = 300_000;
    private static readonly ClusterSecret Secret = Of("a secret of this mesh");
    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-secret-").FullName;
    private readonly LocalMesh _mesh = new();

    public async ValueTask InitializeAsync()
    {
        // The first is reached by its Unix socket, the second over tcp alone.
        await _mesh.TryAddAsync(LocalMesh.Options("n1", 16 << 20) with
        {
            Secret = Secret,
            SocketPath = Path.Combine(_directory, "n1.sock"),
        });
        await _mesh.TryAddAsync(LocalMesh.Options("n2", 16 << 20) with { Secret = Secret });
        await _mesh.ReadyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _mesh.DisposeAsync();
        System.IO.Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task A_client_that_knows_it_puts_and_gets_over_shared_memory_and_tcp()
    {
        await using var client = (await ConnectAsync(Secret)).Value;
        byte[] value = new byte[Large];
        new Random(1).NextBytes(value);
        foreach (string node in new[] { "n1", "n2" })
        {
            var key = new MeshKey("on-" + node);
            var placed = new PutOptions { Placement = Placement.Preferred, PreferredNode = node };
            await client.PutAsync(key, value, placed, TestContext.Current.CancellationToken);
            Assert.Equal(value, await client.GetAsync(key, null, TestContext.Current.CancellationToken));
        }

        Assert.All(_mesh.Nodes, node => Assert.Equal("secret", node.Status().Authentication));
        Assert.All(_mesh.Nodes, node => Assert.Equal(0, node.Status().Counters["unauthenticated_connections"]));
        Assert.Equal(1, _mesh.Nodes[1].Status().Counters["data_connections"]);
    }

    [Fact]
    public async Task A_client_with_another_secret_or_none_is_told_why_at_once()
    {
        foreach (var (secret, why) in new[] { (Of("another secret, wrong"), "not that of"), (null, "asks for") })
        {
            var client = await ConnectAsync(secret);
            Assert.Equal(MeshErrorCode.Unauthenticated, client.Error?.Code);
            Assert.Contains(why, client.Error!.Message, StringComparison.Ordinal);
        }

        Assert.Equal(2, _mesh.Nodes.Sum(node => node.Status().Counters["unauthenticated_connections"]));
    }

    [Fact]
    public async Task A_node_with_another_secret_is_in_no_view_of_reachable_nodes()
    {
        var stranger = await _mesh.TryAddAsync(LocalMesh.Options("n3", 16 << 20) with
        {
            Secret = Of("another secret, wrong"),
        });
        Assert.True(stranger.Succeeded, "a node does not ask others before it starts");
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (_mesh.Nodes[0].Status().Counters["unauthenticated_peers"] == 0
            || stranger.Value.Status().Counters["unauthenticated_peers"] == 0)
            await Task.Delay(10, limit.Token);
        var reach = _mesh.Nodes[0].Status().View.Members.Single(member => member.NodeId == "n3").Reach;
        Assert.NotEqual("fine", reach);
    }

    private Task<MeshResult<MeshClient>> ConnectAsync(ClusterSecret? secret) => MeshClient.TryConnectAsync(
        new MeshClientOptions
        {
            Nodes = [_mesh.Nodes[0].Endpoint],
            Secret = secret,
            Deadline = TimeSpan.FromSeconds(20),
        }, TestContext.Current.CancellationToken);

    private static ClusterSecret Of(string text) => ClusterSecret.Parse(Encoding.UTF8.GetBytes(text)).Value;
}
