// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cluster;

/// <summary>A node is killed and nobody restarts it.</summary>
[Trait("needs", "etcd")]
public sealed class DeadNodeTests
{
    private static readonly TimeSpan Deadline = MeshLoad.Deadline;

    [Fact]
    public async Task Its_keys_are_misses_the_others_stay_and_new_puts_succeed()
    {
        await using var mesh = await ServeMesh.StartAsync(3);
        var keys = await mesh.FillAsync("p07", 300);
        var held = await mesh.HoldersAsync("p07");
        var lost = keys.Where(k => held[k] == "n3").ToList();
        var live = keys.Where(k => held[k] != "n3").ToList();
        Assert.InRange(lost.Count, 50, 150);
        await using var load = new MeshLoad(mesh.Client, "p07-new");
        load.Expect(live);
        load.Start();
        await load.GoesOnAsync();

        var victim = mesh.Node("n3");
        long killed = mesh.Kill(victim);
        await victim.ExitAsync(TimeSpan.FromSeconds(10));
        load.ExpectPutsFromNowOn();
        var (first, rest) = await MissesAsync(mesh, lost, killed, ServeMesh.Ttl * 3);
        rest.Sort();
        Figures.Print($"gets of keys held by the dead node alone: first {first:0.0} ms, then {rest.Count} gets, " +
            $"median {rest[rest.Count / 2]:0.00} ms, p99 {rest[rest.Count * 99 / 100]:0.00} ms, " +
            $"maximum {rest[^1]:0.0} ms");
        Assert.InRange(rest[rest.Count / 2], 0, 50);
        await mesh.SettlesAsync(ServeMesh.Ttl);
        var exists = await mesh.Client.TryExistsBatchAsync(lost, TestContext.Current.CancellationToken);
        Assert.All(exists, e => Assert.True(e is { Succeeded: true, Value: false }, e.Error?.ToString() ?? "exists"));
        await load.EndsWellAsync(mesh, "P07, living holders and new puts");
        Assert.All(mesh.Nodes, n => Assert.False(n.HasExited));
    }

    /// <summary>Loops over exists and get of lost keys; the time of the first get, and of all others, in ms.</summary>
    private static async Task<(double First, List<double> Others)> MissesAsync(
        ServeMesh mesh, List<MeshKey> lost, long killed, TimeSpan time)
    {
        double first = -1;
        var rest = new List<double>();
        while (TimeProvider.System.GetElapsedTime(killed) < time)
        {
            foreach (var key in lost)
            {
                long start = TimeProvider.System.GetTimestamp();
                var got = await mesh.Client.TryGetAsync(key);
                double took = TimeProvider.System.GetElapsedTime(start).TotalMilliseconds;
                Assert.Equal(MeshErrorCode.NotFound, got.Error?.Code);
                Assert.InRange(took, 0, (Deadline + TimeSpan.FromSeconds(1)).TotalMilliseconds);
                if (first < 0)
                    first = took;
                else
                    rest.Add(took);
            }

            var exists = await mesh.Client.TryExistsBatchAsync(lost);
            Assert.All(exists, e => Assert.True(e.Succeeded, e.Error?.ToString()));
        }

        return (first, rest);
    }
}
