// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh;

/// <summary>
/// The system's clock with timestamps that go on while the host is suspended: a lease in the registry does not wait for
/// a sleeping host either, so a node that wakes must see how long it was away (rule A8). Timers are the system's and
/// stand still in a suspend; what they wake looks at the timestamps. Where the kernel has no such clock the timestamps
/// are the system's too.
/// </summary>
internal sealed unsafe partial class BootTimeProvider : TimeProvider
{
    private const int ClockBootTime = 7;
    private const long NanosecondsPerSecond = 1_000_000_000;

    private BootTimeProvider()
    {
    }

    /// <summary>The provider, or <see cref="TimeProvider.System"/> where there is no such clock.</summary>
    public static TimeProvider Best { get; } = IsSupported() ? new BootTimeProvider() : System;

    /// <inheritdoc/>
    public override long TimestampFrequency => NanosecondsPerSecond;

    /// <inheritdoc/>
    public override long GetTimestamp()
    {
        TimeSpec now;
        // It cannot fail for a clock that was there before.
        _ = clock_gettime(ClockBootTime, &now);
        return (now.Seconds * NanosecondsPerSecond) + now.Nanoseconds;
    }

    private static bool IsSupported()
    {
        TimeSpec now;
        return OperatingSystem.IsLinux() && clock_gettime(ClockBootTime, &now) == 0;
    }

    /// <summary>https://man7.org/linux/man-pages/man2/clock_gettime.2.html: 0, or -1.</summary>
    [LibraryImport("libc")]
    private static partial int clock_gettime(int clock, TimeSpec* now);

    /// <summary>struct timespec of 64-bit Linux.</summary>
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
