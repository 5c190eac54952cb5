// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Bench;

/// <summary>One figure, with what this machine can do at most, measured beside it.</summary>
/// <param name="Name">What was measured, e.g. "shm.get.16MiB.verified".</param>
/// <param name="Value">The figure: a median.</param>
/// <param name="Unit">Its unit, and that of <paramref name="Limit"/>: "GB/s" (10^9 bytes a second), "us",
/// "M/s"...</param>
/// <param name="Limit">The same machine's limit in the same run; null where there is none to compare with.</param>
/// <param name="Ratio">Median of the pairwise ratios value / limit; null without a limit.</param>
internal sealed record BenchRow(string Name, double Value, string Unit, double? Limit = null, double? Ratio = null)
{
    /// <summary>A row of an alternating run.</summary>
    internal static BenchRow Of(string name, string unit, Pairs pairs) =>
        new(name, pairs.Value, unit, pairs.Limit, pairs.Ratio);
}
