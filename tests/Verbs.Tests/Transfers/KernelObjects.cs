// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>What the kernel has of each device, for all processes together.</summary>
internal static partial class KernelObjects
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Queue pairs and regions, for people and to be compared.</summary>
    internal static async Task<string> CountAsync()
    {
        var show = new ProcessStartInfo("rdma", "resource show") { RedirectStandardOutput = true };
        using var rdma = Process.Start(show)!;
        string shown = await rdma.StandardOutput.ReadToEndAsync(Cancel);
        await rdma.WaitForExitAsync(Cancel);
        Assert.Equal(0, rdma.ExitCode);
        return string.Join("; ", Counts().Matches(shown).Select(found =>
            $"{found.Groups["device"]}: {found.Groups["qp"]} qp, {found.Groups["mr"]} mr"));
    }

    /// <summary>Waits until they are no more than before: what an earlier test had may still have been going.</summary>
    internal static async Task UntilAsync(string wanted)
    {
        long start = Stopwatch.GetTimestamp();
        string found;
        while (!IsWithin(found = await CountAsync(), wanted))
            Assert.True(Stopwatch.GetElapsedTime(start) < Long, $"left over: {found}; before: {wanted}");
    }

    private static bool IsWithin(string found, string wanted)
    {
        int[] now = NumbersOf(found), before = NumbersOf(wanted);
        return now.Length == before.Length && now.Zip(before).All(pair => pair.First <= pair.Second);
    }

    private static int[] NumbersOf(string counts) =>
        [.. Number().Matches(counts).Select(number => int.Parse(number.Value, CultureInfo.InvariantCulture))];

    [GeneratedRegex(@"\b\d+(?= qp| mr)")]
    private static partial Regex Number();

    [GeneratedRegex(@"(?<device>rxe\d): .*?\bqp (?<qp>\d+) .*?\bmr (?<mr>\d+)")]
    private static partial Regex Counts();
}
