// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
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

    /// <summary>
    /// What there is while nobody uses the devices: the kernel's own queue pair. Waits for it, as what an earlier test
    /// had may still be going.
    /// </summary>
    internal static async Task<string> IdleAsync()
    {
        long start = Stopwatch.GetTimestamp();
        string found;
        while (InUse().IsMatch(found = await CountAsync()))
            Assert.True(Stopwatch.GetElapsedTime(start) < Long, $"somebody still uses the devices: {found}");
        return found;
    }

    /// <summary>Waits until they are as many as before.</summary>
    internal static async Task UntilAsync(string wanted)
    {
        long start = Stopwatch.GetTimestamp();
        string found;
        while ((found = await CountAsync()) != wanted)
            Assert.True(Stopwatch.GetElapsedTime(start) < Long, $"now: {found}; before: {wanted}");
    }

    [GeneratedRegex(@"\b([2-9]|\d\d+) qp|\b[1-9]\d* mr")]
    private static partial Regex InUse();

    [GeneratedRegex(@"(?<device>rxe\d): .*?\bqp (?<qp>\d+) .*?\bmr (?<mr>\d+)")]
    private static partial Regex Counts();
}
