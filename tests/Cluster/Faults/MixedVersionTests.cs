// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>Nodes that speak the wire version before this one, beside nodes of this one.</summary>
[Trait("needs", "etcd")]
public sealed class MixedVersionTests
{
    private const string Variable = "MOONCAKE_MESH_TEST_WIRE_VERSIONS";

    private static readonly Dictionary<string, string> Older = new() { [Variable] = "1-1" };
    private static readonly Dictionary<string, string> Newer = new() { [Variable] = "3-3" };

    /// <summary>
    /// A mesh of the older version is upgraded node by node under load, back to front: slots are handed over between
    /// the versions in both directions, and no call fails.
    /// </summary>
    [Fact]
    public async Task A_mesh_is_upgraded_node_by_node_and_no_call_fails()
    {
        await using var run = await FaultRun.StartAsync(null, 2, 1, new LoadOptions { Replicas = 2 }, Older);
        await run.BeginAsync("n3");
        await run.Load.GoesOnAsync(500);
        await run.RestartAsync("n1");
        await run.Load.GoesOnAsync(500);
        await run.RestartAsync("n3", Older);
        await run.Load.GoesOnAsync(500);
        await run.EndsWellAsync("nodes of wire versions 1 and 2", failures: 0);
    }

    [Fact]
    public async Task Versions_that_have_none_in_common_are_refused_with_the_reason()
    {
        await using var mesh = await ServeMesh.StartAsync(1);
        var node = mesh.Launch("n2", Newer);
        Assert.NotEqual(0, await node.ExitAsync(TimeSpan.FromSeconds(30)));
        mesh.Remove(node);
        const string Reason = "n1 speaks wire versions 1 to 2, we 3 to 3";
        Assert.Contains(node.Log, line => line.Contains(Reason, StringComparison.Ordinal));
        Assert.Equal(["n1"], (await mesh.RegistrationsAsync()).Keys);

        await using var alone = await ServeMesh.StartAsync(0);
        var newer = alone.Launch("n1", Newer);
        await newer.ReadyAsync();
        alone.Nodes.Add(newer);
        var client = await MeshClient.TryConnectAsync(
            new MeshClientOptions { Cluster = ServeMesh.Cluster, Nodes = [newer.Endpoint] });
        Assert.Equal(MeshErrorCode.Protocol, client.Error?.Code);
        Assert.Contains("wire versions", client.Error!.Message, StringComparison.Ordinal);
    }
}
