// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>A client process that outlives what it is connected to.</summary>
public sealed class FollowTests
{
    private static readonly byte[] Value = [1, 2, 3];

    /// <summary>
    /// All nodes end, and others begin at their addresses, with an empty registry or one restored from a backup: with
    /// smaller numbers than there were before.
    /// </summary>
    [Theory]
    [InlineData(1, false, false)]
    [InlineData(1, false, true)]
    [InlineData(1, true, false)]
    [InlineData(1, true, true)]
    [InlineData(3, false, false)]
    [InlineData(3, false, true)]
    [InlineData(3, true, false)]
    [InlineData(3, true, true)]
    public void A_client_comes_to_the_mesh_that_begins_in_place_of_its_own(int nodes, bool byRegistry, bool restored)
    {
        var world = new NodeWorld();
        Begin(world, nodes);
        var backup = world.Store.Snapshot();
        for (int i = 0; i < 20; i++)
            world.Weigh("n1", 100 + (i % 2));
        var runtime = new MeshRuntime
        {
            Time = world.Time,
            Scheduler = world["n1"].Scheduler,
            Random = RandomSource.FromSeed(7),
            Network = world.Network.Of("client"),
            Log = world.Log,
        };
        var client = new ClientPeer("default", byRegistry ? [] : [AddressOf(1)],
            byRegistry ? new EmbeddedRegistry(world.Store, runtime) : null, runtime, "");
        Assert.Null(world.Run(world["n1"], () => client.ConnectAsync(TimeSpan.FromSeconds(5), CancellationToken.None)));
        Assert.Null(Put(world, client, "before"));
        var before = client.Operations.Context.View;
        foreach (var node in world.Nodes)
            node.Kill();
        if (restored)
            world.Store.Restore(backup);
        else
            world.Store.Wipe();
        // Until the leases of the backup have ended the names are taken.
        world.Advance(TimeSpan.FromSeconds(15));
        Begin(world, nodes);
        var now = world["n1"].Node.View;
        Assert.True(before.Id.IsNewerThan(now.Id));
        Assert.Equal(restored, before.Config.MeshId == now.Config.MeshId);
        Assert.True(world.Until(() => client.Operations.Context.View.Id.Digest == now.Id.Digest,
            TimeSpan.FromSeconds(10)));
        Assert.Null(Put(world, client, "after"));
        Assert.Equal(Value, world.Get("n1", "after").Value);
    }

    private static void Begin(NodeWorld world, int nodes)
    {
        for (int i = 1; i <= nodes; i++)
        {
            string listen = AddressOf(i);
            Assert.Null(world.Start($"n{i}", with: options => options with { Listen = listen }).Error);
        }

        world.AssertSettles();
    }

    private static string AddressOf(int node) => $"127.0.0.1:{6000 + node}";

    private static MeshError? Put(NodeWorld world, ClientPeer client, string key) => world.Run(world["n1"],
        () => client.Operations.PutAsync(new MeshKey(key), Value, new PutOptions(), CancellationToken.None)).Error;
}
