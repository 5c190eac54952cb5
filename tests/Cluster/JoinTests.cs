// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cluster;

/// <summary>A fourth node joins, and leaves, while a reader loops.</summary>
[Trait("needs", "etcd")]
public sealed class JoinTests
{
    private const int Joins = 3;

    [Fact]
    public async Task A_join_loses_no_read_three_times()
    {
        await using var mesh = await ServeMesh.StartAsync(3, "256MiB");
        var keys = await mesh.FillAsync("join", 20_000);
        for (int join = 1; join <= Joins; join++)
        {
            await using var load = new MeshLoad(mesh.Client, $"join-new-{join}");
            load.Expect(keys);
            load.Start();
            await load.GoesOnAsync();
            string nodeId = $"n4-{join}";
            var joined = await mesh.AddAsync(nodeId, "--grace", "1s");
            var states = await mesh.SettlesAsync(TimeSpan.FromSeconds(30));
            var slots = states.Single(s => s.NodeId == nodeId).Slots;
            Assert.InRange(slots.Primary, 10_000, 23_000);
            Assert.True(slots.Records > 5_000, $"{slots.Records} records at the new node");
            await load.GoesOnAsync();
            joined.Terminate();
            Assert.Equal(0, await joined.ExitAsync(TimeSpan.FromSeconds(20)));
            mesh.Remove(joined);
            await mesh.SettlesAsync(TimeSpan.FromSeconds(30));
            await load.GoesOnAsync();
            await load.EndsWellAsync(mesh, $"join {join} of a fourth node, and its leave");
        }
    }
}
