// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// The real core, membership to flow, in a simulated world that goes wrong in every way it can, held against every
/// invariant of the design. docs/simulation.md says how to run more of it. After all other tests, with all cores.
/// </summary>
[Collection(nameof(SeedTests))]
[CollectionDefinition(nameof(SeedTests), DisableParallelization = true)]
public sealed class SeedTests
{
    /// <summary>What two cores run in a few minutes.</summary>
    private const int DefaultSeeds = 2000;

    /// <summary>Runs the seed that MESH_SEED names, and writes its event log to the file MESH_SEED_LOG.</summary>
    [Fact]
    public void One_seed()
    {
        var outcome = SeedRun.Run(SeedSettings.One ?? 1, keepLog: true);
        SeedSettings.Write(outcome);
        Assert.True(outcome.Violations.Count == 0, outcome.ToString());
    }

    /// <summary>Runs MESH_SEEDS seeds, from MESH_FIRST on.</summary>
    [Fact]
    public void No_seed_breaks_an_invariant()
    {
        int count = SeedSettings.Count ?? DefaultSeeds;
        var batch = new SeedBatch(SeedSettings.First, count, Run);
        batch.Run();
        Assert.True(batch.Failures.Count == 0, batch.ToString());
        Assert.Equal(count, batch.Done);
    }

    [Fact]
    public void A_seed_gives_the_same_event_log_again()
    {
        int[] seeds = [1, 2, 3, 5, 8, 13];
        var alone = seeds.Select(LogOf).ToArray();
        // Again, in another order, while other seeds run beside it.
        var others = new Thread(() => new SeedBatch(first: 100, seeds.Length, Run).Run());
        others.Start();
        for (int i = seeds.Length - 1; i >= 0; i--)
            Assert.Equal(alone[i], LogOf(seeds[i]));
        others.Join();
        Assert.Equal(seeds.Length, alone.Distinct().Count());
    }

    private static SeedOutcome Run(int seed) => SeedRun.Run(seed);

    private static string LogOf(int seed) => string.Join('\n', SeedRun.Run(seed, keepLog: true).Events);
}
