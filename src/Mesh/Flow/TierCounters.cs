// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>What was moved between tiers since the start. Thread-safe.</summary>
internal sealed class TierCounters
{
    private long _promotions;
    private long _promotedBytes;
    private long _demotions;
    private long _demotedBytes;
    private long _overtaken;
    private long _failures;

    /// <summary>Objects that moved to a device.</summary>
    public long Promotions => Volatile.Read(ref _promotions);

    /// <summary>Their bytes.</summary>
    public long PromotedBytes => Volatile.Read(ref _promotedBytes);

    /// <summary>Objects that moved from a device to the host's memory.</summary>
    public long Demotions => Volatile.Read(ref _demotions);

    /// <summary>Their bytes.</summary>
    public long DemotedBytes => Volatile.Read(ref _demotedBytes);

    /// <summary>Moves in vain: the object was removed, replaced or evicted meanwhile.</summary>
    public long Overtaken => Volatile.Read(ref _overtaken);

    /// <summary>Moves whose bytes could not be copied.</summary>
    public long Failures => Volatile.Read(ref _failures);

    /// <summary>A copy did not come about.</summary>
    public void Failed() => Interlocked.Increment(ref _failures);

    /// <summary>A move whose bytes were copied has ended.</summary>
    public void Ended(TierMove move, bool done)
    {
        if (!done)
        {
            Interlocked.Increment(ref _overtaken);
            return;
        }

        Interlocked.Increment(ref move.ToDevice ? ref _promotions : ref _demotions);
        Interlocked.Add(ref move.ToDevice ? ref _promotedBytes : ref _demotedBytes, move.Source.Size);
    }
}
