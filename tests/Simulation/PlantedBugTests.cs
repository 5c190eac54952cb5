// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Simulation;

/// <summary>Each rule is needed, and its absence is noticed: the simulation finds every planted bug.</summary>
public sealed class PlantedBugTests(ITestOutputHelper output)
{
    private const int MostSeeds = 500;

    public static TheoryData<string> Bugs => [.. PlantedBug.All.Keys];

    /// <summary>
    /// A seed shows what this bug does. It, and any before it that something else was wrong with, is right without it.
    /// </summary>
    [Theory]
    [MemberData(nameof(Bugs))]
    public void A_planted_bug_is_found(string name)
    {
        var bug = PlantedBug.All[name];
        Assert.True(IsFound(name, bug), $"{name}: not found in {MostSeeds} seeds");
    }

    private bool IsFound(string name, PlantedBug bug)
    {
        var outcomes = new SeedOutcome[Environment.ProcessorCount];
        for (int first = 1; first <= MostSeeds; first += outcomes.Length)
        {
            RunEach(bug, first, outcomes);
            foreach (var outcome in outcomes.Where(o => o.Violations.Count > 0))
            {
                output.WriteLine($"{name}: {outcome}");
                var without = SeedRun.Run(outcome.Seed);
                Assert.True(without.Violations.Count == 0, without.ToString());
                if (outcome.Violations.Any(v => bug.Breaks.Contains(v.Rule)))
                    return true;
            }
        }

        return false;
    }

    /// <summary>Each on a thread of its own, without the context of the test framework.</summary>
    private static void RunEach(PlantedBug bug, int first, SeedOutcome[] outcomes)
    {
        var threads = new Thread[outcomes.Length];
        for (int i = 0; i < threads.Length; i++)
        {
            int at = i;
            threads[i] = new Thread(() => outcomes[at] = SeedRun.Run(first + at,
                adapt: runtime => runtime with { Policies = bug.Policies(runtime) }));
            threads[i].UnsafeStart();
        }

        foreach (var thread in threads)
            thread.Join();
    }
}
