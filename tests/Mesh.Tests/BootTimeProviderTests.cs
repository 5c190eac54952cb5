// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Tests;

public sealed class BootTimeProviderTests
{
    [Fact]
    public void Its_timestamps_are_the_time_since_boot_with_every_suspend()
    {
        Assert.SkipUnless(File.Exists("/proc/uptime"), "there is no /proc/uptime to compare with");
        var time = BootTimeProvider.Best;
        // The kernel's own count, suspended time included, in hundredths of a second.
        double before = Uptime();
        double seconds = (double)time.GetTimestamp() / time.TimestampFrequency;
        double after = Uptime();
        Assert.InRange(seconds, before, after + 0.01);
    }

    [Fact]
    public void A_node_runs_on_it_unless_told_otherwise() =>
        Assert.Same(BootTimeProvider.Best, new MeshRuntime { Network = null! }.Time);

    [Fact]
    public async Task Its_timers_fire()
    {
        var time = BootTimeProvider.Best;
        long start = time.GetTimestamp();
        await Task.Delay(TimeSpan.FromMilliseconds(20), time, TestContext.Current.CancellationToken);
        Assert.True(time.GetElapsedTime(start) >= TimeSpan.FromMilliseconds(10));
    }

    private static double Uptime() =>
        double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], CultureInfo.InvariantCulture);
}
