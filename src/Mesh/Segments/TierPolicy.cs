// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>
/// Decides what lies in which tier: where a new object goes, when one that is read into a device moves there, and which
/// leaves a device for the host's memory. It moves nothing and knows no clock, so the same questions have the same
/// answers. Immutable.
/// </summary>
internal sealed class TierPolicy(TierOptions options)
{
    /// <summary>What a device keeps free: one part in so many, as the background of evictions does.</summary>
    private const int ReserveShare = 100;
    private const long MostReserve = 1L << 30;
    private static readonly Tier[] DramFirst = [Tier.Dram, Tier.Vram];
    private static readonly Tier[] VramFirst = [Tier.Vram, Tier.Dram];

    private readonly uint _window = (uint)options.PromoteWithin.TotalMilliseconds;

    /// <summary>The tiers in which room is looked for, in this order; none: wherever most is free.</summary>
    public ReadOnlySpan<Tier> Order => options.Place switch
    {
        TierPlace.Dram => DramFirst,
        TierPlace.Vram => VramFirst,
        _ => [],
    };

    /// <summary>An object was read into a device's memory once more.</summary>
    /// <param name="heat">What was counted before.</param>
    /// <param name="now">The time, in milliseconds that may run over.</param>
    public TierHeat Read(TierHeat heat, uint now) => IsWarm(heat, now)
        ? heat with { Reads = (byte)Math.Min(heat.Reads + 1, byte.MaxValue) }
        : new TierHeat(1, now);

    /// <summary>Whether an object has been read often enough to move to the device that reads it.</summary>
    public bool Promotes(TierHeat heat) => options.PromoteAfter > 0 && heat.Reads >= options.PromoteAfter;

    /// <summary>Whether an object was read into a device's memory lately.</summary>
    public bool IsWarm(TierHeat heat, uint now) => heat.Reads > 0 && now - heat.Since <= _window;

    /// <summary>What to do for an object that shall move to a device.</summary>
    /// <param name="device">The device's segments.</param>
    /// <param name="occupied">What the object occupies, in bytes.</param>
    public Promotion ToDevice(in TierRoom device, long occupied)
    {
        if (device.LargestFree >= occupied)
            return Promotion.Move;
        // What is colder than it makes room, if that has somewhere to go: it is not lost for the sake of speed.
        return options.Demote && occupied <= device.Capacity ? Promotion.MakeRoom : Promotion.Stay;
    }

    /// <summary>
    /// Bytes that a device should give up so that the next object finds room there. None where nothing is wanted there:
    /// then what lies there came because the host's memory was full.
    /// </summary>
    public long Lack(in TierRoom device)
    {
        if (!options.Demote || (options.Place == TierPlace.Dram && options.PromoteAfter == 0))
            return 0;
        return Math.Max(0, Math.Min(device.Capacity / ReserveShare, MostReserve) - device.Free);
    }

    /// <summary>
    /// Whether an object leaves a device: only one that was not read lately, and only into room that is there. Nothing
    /// is evicted for it, as anything in the host's memory may be hotter.
    /// </summary>
    public bool MayLeave(TierHeat heat, uint now, in TierRoom host, long occupied) =>
        options.Demote && !IsWarm(heat, now) && host.LargestFree >= occupied;
}

/// <summary>A kind of memory.</summary>
internal enum Tier : byte
{
    /// <summary>The host's.</summary>
    Dram,

    /// <summary>Devices'.</summary>
    Vram,
}

/// <summary>How full segments of one kind are, in bytes.</summary>
/// <param name="Capacity">All.</param>
/// <param name="Free">Free.</param>
/// <param name="LargestFree">The largest hole.</param>
internal readonly record struct TierRoom(long Capacity, long Free, long LargestFree);

/// <summary>How often an object was read into a device's memory lately.</summary>
/// <param name="Reads">So often, at most 255.</param>
/// <param name="Since">Since then, in milliseconds that may run over.</param>
internal readonly record struct TierHeat(byte Reads, uint Since);

/// <summary>What to do for an object that shall move to a device.</summary>
internal enum Promotion
{
    /// <summary>It stays where it is.</summary>
    Stay,

    /// <summary>It moves.</summary>
    Move,

    /// <summary>It moves once others have made room.</summary>
    MakeRoom,
}
