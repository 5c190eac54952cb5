// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Directory;

/// <summary>A hand-over that goes on: slots wanted since it began, those still incomplete, and for how long.</summary>
internal readonly record struct Handover(int Wanted, int Left, TimeSpan Running);

/// <summary>
/// The hand-over of now, from the first incomplete slot to the last; logged when it begins and ends. Written by one
/// loop, read by any thread.
/// </summary>
internal sealed class HandoverProgress(TimeProvider time, ILogger log)
{
    private readonly Lock _lock = new();
    private long _since;
    private int _wanted;
    private int _left;

    /// <summary>How it stands; all zero when nothing is wanted.</summary>
    public Handover Now
    {
        get
        {
            lock (_lock)
                return _wanted == 0 ? default : new Handover(_wanted, _left, time.GetElapsedTime(_since));
        }
    }

    /// <summary>So many slots are incomplete now.</summary>
    public void Note(int left)
    {
        lock (_lock)
        {
            if (_wanted == 0 && left > 0)
            {
                _since = time.GetTimestamp();
                log.LogInformation("handover_begun slots={Slots}", left);
            }

            _left = left;
            _wanted = Math.Max(_wanted, left);
            if (left > 0 || _wanted == 0)
                return;
            log.LogInformation("handover_done slots={Slots} ms={Milliseconds:0}", _wanted,
                time.GetElapsedTime(_since).TotalMilliseconds);
            _wanted = 0;
        }
    }
}
