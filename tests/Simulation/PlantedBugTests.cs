// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Simulation;

/// <summary>Each rule is needed, and its absence is noticed: the simulation finds every planted bug.</summary>
public sealed class PlantedBugTests(ITestOutputHelper output)
{
    private const int MostSeeds = 500;

    public static TheoryData<string> Bugs => [.. PlantedBug.All.Keys];

    /// <summary>The first seed that anything is wrong with shows what this bug does, and is right without it.</summary>
    [Theory]
    [MemberData(nameof(Bugs))]
    public void A_planted_bug_is_found(string name)
    {
        var bug = PlantedBug.All[name];
        var found = FirstFailure(bug);
        Assert.True(found is not null, $"{name}: not found in {MostSeeds} seeds");
        output.WriteLine($"{name}: {found}");
        Assert.True(found.Violations.Any(v => bug.Breaks.Contains(v.Rule)), found.ToString());
        var without = SeedRun.Run(found.Seed);
        Assert.True(without.Violations.Count == 0, without.ToString());
    }

    private static SeedOutcome? FirstFailure(PlantedBug bug)
    {
        var outcomes = new SeedOutcome[Environment.ProcessorCount];
        for (int first = 1; first <= MostSeeds; first += outcomes.Length)
        {
            RunEach(bug, first, outcomes);
            if (outcomes.FirstOrDefault(o => o.Violations.Count > 0) is { } found)
                return found;
        }

        return null;
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
