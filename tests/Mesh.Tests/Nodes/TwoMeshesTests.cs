// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>
/// The registry was wiped, and a node that starts before the others have read it again begins another mesh. They have
/// registered in it, and go on in the old one until they have.
/// </summary>
public sealed class TwoMeshesTests
{
    private static readonly byte[] Value = [1, 2, 3];

    public enum Call
    {
        Get,
        Exists,
        Remove,
    }

    public static TheoryData<Call, int, bool, bool, int> Cases => new MatrixTheoryData<Call, int, bool, bool, int>(
        Enum.GetValues<Call>(), [1, 3], [false, true], [false, true], [100, 3000]);

    /// <summary>
    /// Whether or not the old mesh has the greater numbers; while the new node asks for streams, and after that.
    /// </summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Neither_mesh_denies_what_was_put_in_the_other(Call call, int nodes, bool old, bool greater,
        int milliseconds)
    {
        var world = NodeWorld.Started(nodes);
        for (int i = 0; greater && i < 20; i++)
            world.Weigh("n1", 100 + (i % 2));
        var before = world["n1"].Node.View;
        foreach (var node in world.Nodes)
            node.Registry.ListDelay = TimeSpan.FromSeconds(8);
        world.Store.Wipe();
        Assert.True(world.Until(() => world.Store.Snapshot().Entries.Count == nodes, TimeSpan.FromSeconds(5)));
        var next = world.Begin("n9");
        Assert.True(world.Until(() => next.IsUp && next.Node.View.Members.Count == nodes + 1, TimeSpan.FromSeconds(2)));
        Assert.NotEqual(before.Config.MeshId, next.Node.View.Config.MeshId);
        world.Advance(TimeSpan.FromMilliseconds(milliseconds));
        for (int i = 0; i < 8; i++)
        {
            string key = $"put-{i}";
            var (by, at) = old ? ("n1", "n9") : ("n9", "n1");
            var error = world.Put(by, key, Value, holder: by).Error;
            // The old mesh goes on as if nothing had happened; what the new one decides waits until they are one.
            Assert.True(error is null || !old, error?.ToString());
            Assert.True(error is not null || IsNotDenied(world, world[at], call, key), $"{call} of {key} by {at}");
        }

        if (old)
            Assert.All(world.Nodes, n => Assert.Equal(n == next, n.Node.View.Config.MeshId != before.Config.MeshId));
        world.AssertSettles();
        Assert.Null(world.Put("n9", "after", Value, holder: "n9").Error);
        Assert.Equal(Value, world.Get("n1", "after").Value);
    }

    /// <summary>Found, or that it cannot be said: not a miss.</summary>
    private static bool IsNotDenied(NodeWorld world, WorldNode at, Call call, string key) => world.Run(at, async () =>
    {
        var operations = at.Node.Operations;
        using var target = new ArrayTarget();
        switch (call)
        {
            case Call.Get:
                var got = await operations.GetAsync(new MeshKey(key), target, null, CancellationToken.None);
                return got.Succeeded || got.Error!.Code != MeshErrorCode.NotFound;
            case Call.Exists:
                var exists = (await operations.ExistAsync([new MeshKey(key)], null, CancellationToken.None))[0];
                return !exists.Succeeded || exists.Value;
            default:
                var removed = await operations.RemoveAsync(new MeshKey(key), null, CancellationToken.None);
                return !removed.Succeeded || removed.Value;
        }
    });
}
