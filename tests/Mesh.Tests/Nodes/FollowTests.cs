// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>A client process that outlives what it is connected to.</summary>
public sealed class FollowTests
{
    private static readonly byte[] Value = [1, 2, 3];

    /// <summary>
    /// The whole mesh ends and another begins at its addresses, its registry empty, with smaller numbers than the one
    /// before had.
    /// </summary>
    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(3, false)]
    [InlineData(3, true)]
    public void A_client_comes_to_the_mesh_that_begins_in_place_of_its_own(int nodes, bool byRegistry)
    {
        var world = new NodeWorld();
        Begin(world, nodes);
        for (int i = 0; i < 20; i++)
            Weigh(world, 100 + (i % 2));
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
        world.Store.Wipe();
        Begin(world, nodes);
        var now = world["n1"].Node.View;
        Assert.True(before.Id.IsNewerThan(now.Id));
        Assert.True(world.Until(() => client.Operations.Context.View.Config.MeshId == now.Config.MeshId,
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

    private static void Weigh(NodeWorld world, int weight)
    {
        var membership = world["n1"].Node.Membership;
        world.Run(world["n1"], async () =>
        {
            await membership.UpdateAsync(self => self with { Ring = self.Ring with { Weight = weight } },
                CancellationToken.None);
            return true;
        });
        world.AssertSettles();
    }

    private static MeshError? Put(NodeWorld world, ClientPeer client, string key) => world.Run(world["n1"],
        () => client.Operations.PutAsync(new MeshKey(key), Value, new PutOptions(), CancellationToken.None)).Error;
}
