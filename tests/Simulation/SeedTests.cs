// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// The real core, membership to flow, in a simulated world that goes wrong in every way it can, held against every
/// invariant of the design.
/// </summary>
public sealed class SeedTests
{
    [Fact]
    public void One_seed()
    {
        int seed = int.Parse(Environment.GetEnvironmentVariable("MESH_SEED") ?? "1", CultureInfo.InvariantCulture);
        var outcome = SeedRun.Run(seed, keepLog: true);
        if (Environment.GetEnvironmentVariable("MESH_SEED_LOG") is { } path)
            File.WriteAllLines(path, outcome.Events);
        Assert.True(outcome.Violations.Count == 0, outcome.ToString());
    }

    [Fact]
    public void No_seed_breaks_an_invariant()
    {
        int count = int.Parse(Environment.GetEnvironmentVariable("MESH_SEEDS") ?? "200", CultureInfo.InvariantCulture);
        int first = int.Parse(Environment.GetEnvironmentVariable("MESH_FIRST") ?? "1", CultureInfo.InvariantCulture);
        var failed = new List<SeedOutcome>();
        var start = System.Diagnostics.Stopwatch.GetTimestamp();
        for (int seed = first; seed < first + count; seed++)
        {
            var outcome = SeedRun.Run(seed);
            if (outcome.Violations.Count > 0)
                failed.Add(outcome);
        }

        Assert.True(failed.Count == 0, $"{failed.Count} of {count} in {System.Diagnostics.Stopwatch.GetElapsedTime(start)}\n" + string.Join("\n\n", failed.Take(10)));
    }
}
