// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>An object of which one copy has gone unheard, and another is out of reach.</summary>
public sealed class CopiesTests
{
    private static readonly byte[] Value = [1, 2, 3];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_copy_that_is_gone_does_not_speak_for_one_that_is_not_reached(bool inPart)
    {
        var world = NodeWorld.Started(4);
        var key = PutAtBoth(world, "n2", "n3");
        world.Network.Cut("n1", "n3");
        world.Network.Cut("n3", "n1");
        // By now n1 knows that it does not reach n3.
        world.Advance(TimeSpan.FromSeconds(4));
        var store = world["n2"].Node.Holder.Store;
        Assert.True(store.TryFind(key, out var held));
        Assert.True(store.Drop(key, held.ObjectId));
        var got = Get(world, key, inPart);
        Assert.False(got.Succeeded);
        Assert.NotEqual(MeshErrorCode.NotFound, got.Error!.Code);

        world.Network.Heal();
        world.AssertSettles();
        Assert.True(world.Until(() => Get(world, key, inPart) is { Succeeded: true, Value: 3 },
            TimeSpan.FromSeconds(10)));
    }

    private static MeshKey PutAtBoth(NodeWorld world, string one, string other)
    {
        for (int i = 0; ; i++)
        {
            var key = new MeshKey($"k{i}");
            Assert.Null(world.Run(world["n1"], () => world["n1"].Node.Operations.PutAsync(key, Value,
                new PutOptions { Replicas = 2 }, CancellationToken.None)).Error);
            if (world[one].Node.Holder.Store.TryFind(key, out _) && world[other].Node.Holder.Store.TryFind(key, out _))
                return key;
        }
    }

    private static MeshResult<long> Get(NodeWorld world, MeshKey key, bool inPart)
    {
        using var target = new ArrayTarget();
        if (!inPart)
        {
            return world.Run(world["n1"], () => world["n1"].Node.Operations.GetAsync(key, target, null,
                CancellationToken.None));
        }

        var memory = target.Prepare(Value.Length).Value;
        var range = new ObjectRange(key, 0);
        return world.Run(world["n1"], () => world["n1"].Node.Operations.GetRangeAsync(range, memory, null,
            CancellationToken.None));
    }
}
