// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>
/// A mesh under load and one random fault after another, from a seed. Afterwards no acknowledged object of a living
/// holder was ever missed, no byte was wrong, no call late, and every process has again what it had before.
/// </summary>
[Trait("needs", "etcd")]
public sealed class SoakTests
{
    private const int Nodes = 4;
    private static readonly TimeSpan BackLimit = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan Time = TimeSpan.FromSeconds(Figures.Count("MESH_TEST_SOAK", 30));
    private static readonly int Seed = Figures.Count("MESH_TEST_SEED", 1);

    [Fact]
    public async Task Random_faults_lose_nothing_and_leave_nothing_behind()
    {
        string[] names = ["etcd", .. Enumerable.Range(1, Nodes).Select(i => $"n{i}")];
        await using var network = Environment.IsPrivilegedProcess ? await FaultNetwork.StartAsync(names) : null;
        await using var run = await FaultRun.StartAsync(network, Nodes, Seed, new LoadOptions { Replicas = 2 });
        var baseline = run.Mesh.Nodes.Select(n => ProcessResources.Of(n.Pid)).Aggregate((a, b) => a.Or(b));
        var faults = new SoakFaults(run, network, new Random(Seed));
        long start = TimeProvider.System.GetTimestamp();
        int count = 0;
        while (TimeProvider.System.GetElapsedTime(start) < Time || count == 0)
        {
            string what = await faults.NextAsync();
            Figures.Print($"soak of seed {Seed}, fault {++count}: {what}; settled at " +
                $"{TimeProvider.System.GetElapsedTime(start).TotalSeconds:0.0} s");
            if (run.Load.FailedWhileHeld.Count > 0)
                break;
        }

        await run.EndsWellAsync($"soak of seed {Seed}, {count} faults");
        await NothingIsLeftAsync(run, baseline);
    }

    /// <summary>Removes every object; memory, connections, threads and files are then what they were.</summary>
    private static async Task NothingIsLeftAsync(FaultRun run, ProcessResources baseline)
    {
        var removed = await run.Mesh.Client.TryRemoveMatchingAsync(".*", TimeSpan.FromSeconds(30));
        Assert.True(removed.Succeeded, removed.Error?.ToString());
        await Eventually.AsyncTrue(async () => (await run.Mesh.StatusesAsync()).All(s => s is
            { Memory: { Live: 0, Filling: 0, Zombie: 0 }, SharedMemory: { Views: 0, ReservedBytes: 0 } }), BackLimit,
            "memory of objects is not given back");
        await Eventually.True(() => run.Mesh.Nodes.All(n => ProcessResources.Of(n.Pid).IsBackAt(baseline)), BackLimit,
            () => $"at most {baseline} before; now\n"
                + string.Join('\n', run.Mesh.Nodes.Select(n => $"{n.NodeId}: {ProcessResources.Of(n.Pid)}")));
        foreach (var node in run.Mesh.Nodes)
            Figures.Print($"{node.NodeId}: {ProcessResources.Of(node.Pid)}; at most {baseline} before");
    }
}
