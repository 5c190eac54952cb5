// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// Medians of an alternating run: what was measured, its limit, and the median of the pairwise ratios.
/// </summary>
internal readonly record struct Pairs(double Value, double Limit, double Ratio);

/// <summary>
/// Runs a measurement and its limit by turns, so that what the machine does meanwhile meets both alike.
/// </summary>
internal static class Alternating
{
    /// <summary>Pairs of a run: an odd number, so that the median is a measured one.</summary>
    internal const int Rounds = 9;

    /// <summary>
    /// One unmeasured pair to warm up, then <paramref name="rounds"/> pairs; each function returns one figure.
    /// </summary>
    internal static async Task<Pairs> RunAsync(Func<Task<double>> value, Func<Task<double>> limit, int rounds = Rounds)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rounds, 7);
        await value();
        await limit();
        var values = new double[rounds];
        var limits = new double[rounds];
        var ratios = new double[rounds];
        for (int i = 0; i < rounds; i++)
        {
            // Who goes first changes, so that neither always finds the other's leftovers in the caches.
            bool valueFirst = i % 2 == 0;
            if (valueFirst)
                values[i] = await value();
            limits[i] = await limit();
            if (!valueFirst)
                values[i] = await value();
            ratios[i] = values[i] / limits[i];
        }

        return new Pairs(Median(values), Median(limits), Median(ratios));
    }

    /// <summary>The same for measurements that do not wait.</summary>
    internal static Pairs Run(Func<double> value, Func<double> limit, int rounds = Rounds) =>
        RunAsync(() => Task.FromResult(value()), () => Task.FromResult(limit()), rounds).GetAwaiter().GetResult();

    /// <summary>The middle one; of an even number the upper middle one. Sorts <paramref name="figures"/>.</summary>
    internal static double Median(double[] figures)
    {
        Array.Sort(figures);
        return figures[figures.Length / 2];
    }
}
