// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Diagnostics.Tracing;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// Listens for the runtime's suspensions of this process: from the request to stop all threads until they run again.
/// </summary>
internal sealed class CollectionPauses : EventListener
{
    private const EventKeywords Collections = (EventKeywords)1;
    private const int SuspendBegin = 9;
    private const int RestartEnd = 3;
    private long _began;
    private long _longest;

    /// <summary>The longest pause since the start or <see cref="Reset"/>, in milliseconds.</summary>
    internal double LongestMs => Volatile.Read(ref _longest) * 1e3 / Stopwatch.Frequency;

    /// <summary>Forgets the pauses so far.</summary>
    internal void Reset() => Volatile.Write(ref _longest, 0);

    protected override void OnEventSourceCreated(EventSource eventSource)
    {
        if (eventSource.Name == "Microsoft-Windows-DotNETRuntime")
            EnableEvents(eventSource, EventLevel.Informational, Collections);
    }

    protected override void OnEventWritten(EventWrittenEventArgs eventData)
    {
        // The time of the event itself: the listener is called on a thread of its own, later.
        long at = eventData.TimeStamp.Ticks * (Stopwatch.Frequency / TimeSpan.TicksPerSecond);
        if (eventData.EventId == SuspendBegin)
        {
            _began = at;
        }
        else if (eventData.EventId == RestartEnd && _began != 0)
        {
            if (at - _began > Volatile.Read(ref _longest))
                Volatile.Write(ref _longest, at - _began);
            _began = 0;
        }
    }
}
