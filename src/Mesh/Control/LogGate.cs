// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Control;

/// <summary>
/// Lets a log line pass once in ten seconds and counts the others, so that a stranger cannot fill the log. Thread-safe.
/// </summary>
internal sealed class LogGate(TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private long _last;
    private long _held;

    /// <summary>Whether a line may be written now.</summary>
    /// <param name="held">How many were not since the last one.</param>
    public bool TryPass(out long held)
    {
        held = 0;
        long now = time.GetTimestamp();
        long last = Volatile.Read(ref _last);
        if ((last != 0 && time.GetElapsedTime(last, now) < Interval)
            || Interlocked.CompareExchange(ref _last, now, last) != last)
        {
            Interlocked.Increment(ref _held);
            return false;
        }

        held = Interlocked.Exchange(ref _held, 0);
        return true;
    }
}
