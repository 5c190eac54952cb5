// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Segments;

/// <summary>How full a store is, in bytes of whole granules: one consistent moment, Used + Free = Capacity.</summary>
public readonly record struct StoreUsage
{
    /// <summary>All memory of the store.</summary>
    public long Capacity { get; init; }

    /// <summary>In sealed and committed objects.</summary>
    public long Live { get; init; }

    /// <summary>In reservations.</summary>
    public long Filling { get; init; }

    /// <summary>In objects that left their key while pinned.</summary>
    public long Zombie { get; init; }

    /// <summary>Not free: <see cref="Live"/> + <see cref="Filling"/> + <see cref="Zombie"/>.</summary>
    public long Used => Live + Filling + Zombie;

    /// <summary>Free, as the allocators count it.</summary>
    public long Free { get; init; }

    /// <summary>The largest hole of any segment: the largest reservation that succeeds without evicting.</summary>
    public long LargestFree { get; init; }

    /// <summary>Of <see cref="Live"/> and <see cref="Filling"/>: hard-pinned, so never evicted.</summary>
    public long HardPinned { get; init; }

    /// <summary>Number of committed objects.</summary>
    public long Objects { get; init; }

    /// <summary>As it is at this moment; under the lock of the store.</summary>
    internal static StoreUsage Of(SegmentSet segments, HeldTable held) => new()
    {
        Capacity = segments.Capacity,
        Live = held.Live,
        Filling = segments.Filling,
        Zombie = held.Zombie,
        HardPinned = held.Hard,
        Free = segments.Free,
        LargestFree = segments.LargestFree,
        Objects = held.Count,
    };
}
