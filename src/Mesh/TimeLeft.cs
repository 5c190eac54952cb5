// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh;

/// <summary>What is left of the time that something may take.</summary>
internal static class TimeLeft
{
    /// <summary>
    /// What is left of a limit that began at a timestamp. Never less than none: a difference of exactly -1 ms, which
    /// comes about when a step ends that long after its limit, is <see cref="Timeout.InfiniteTimeSpan"/> to every wait.
    /// </summary>
    /// <param name="time">Clock.</param>
    /// <param name="limit">The limit; infinite: it stays so.</param>
    /// <param name="start">The clock's timestamp at which it began.</param>
    public static TimeSpan LeftOf(this TimeProvider time, TimeSpan limit, long start)
    {
        if (limit == Timeout.InfiniteTimeSpan)
            return limit;
        var left = limit - time.GetElapsedTime(start);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}
