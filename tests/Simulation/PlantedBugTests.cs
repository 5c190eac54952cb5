// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Simulation;

/// <summary>Each rule is needed, and each mistake is noticed: the simulation finds every planted bug.</summary>
public sealed class PlantedBugTests
{

    public static TheoryData<string> Bugs => [.. PlantedBug.All.Keys];

    [Theory]
    [MemberData(nameof(Bugs))]
    public void A_planted_bug_is_found(string name)
    {
        if (Environment.GetEnvironmentVariable("MESH_BUG") is { } only && !name.Contains(only)) return;
        var bug = PlantedBug.All[name];
        int most = int.Parse(Environment.GetEnvironmentVariable("MESH_PLANTED") ?? "500", CultureInfo.InvariantCulture);
        var seen = new List<string>();
        for (int seed = 1; seed <= most; seed++)
        {
            var outcome = SeedRun.Run(seed, adapt: runtime => runtime with { Policies = bug.Policies(runtime) });
            if (outcome.Violations.Count == 0)
                continue;
            seen.Add($"{seed}: " + string.Join(", ", outcome.Violations.Select(v => v.ToString()).Take(2)));
        }
        Assert.Fail(name + "\n" + string.Join("\n", seen));
    }
}
