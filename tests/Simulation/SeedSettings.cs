// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Simulation;

/// <summary>What the environment says of the seeds to run: docs/simulation.md.</summary>
internal static class SeedSettings
{
    /// <summary>The one seed to run, or null.</summary>
    public static int? One => Number("MESH_SEED");

    /// <summary>How many seeds to run, if it is said.</summary>
    public static int? Count => Number("MESH_SEEDS");

    /// <summary>First of many seeds.</summary>
    public static int First => Number("MESH_FIRST") ?? 1;

    /// <summary>The command that runs a seed of a test again and writes its event log to a file.</summary>
    public static string CommandOf(int seed, string test) => string.Create(CultureInfo.InvariantCulture,
        $"MESH_SEED={seed} MESH_SEED_LOG=/tmp/seed-{seed}.log dotnet run -c Release --project tests/Simulation -- "
        + $"-method '*{test}'");

    /// <summary>Writes an event log to the file MESH_SEED_LOG, if it is named.</summary>
    public static void Write(SeedOutcome outcome)
    {
        if (Environment.GetEnvironmentVariable("MESH_SEED_LOG") is { Length: > 0 } path)
            File.WriteAllLines(path, outcome.Events);
    }

    private static int? Number(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } text
        ? int.Parse(text, CultureInfo.InvariantCulture)
        : null;
}
