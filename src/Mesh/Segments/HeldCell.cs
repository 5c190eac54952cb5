// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>
/// What a store knows of one complete object, off the garbage-collected heap: a million of them cost the collector
/// nothing. Read and changed only under the lock of the store; what no longer changes (size, checksum, sums, extent)
/// also by who has it pinned.
/// </summary>
internal unsafe struct HeldCell
{
    /// <summary>Hash of the key.</summary>
    public ulong Hash;

    /// <summary>The key.</summary>
    public byte* Key;

    /// <summary>Which put wrote it, or the older one of the same bytes that it has joined.</summary>
    public ulong ObjectId;

    /// <summary>Checksum of all its bytes.</summary>
    public ulong Checksum;

    /// <summary>
    /// Where its bytes are, or the first of them. Its word is never given out again, so it tells cells apart too.
    /// </summary>
    public Extent Extent;

    /// <summary>All its extents, the first included; null when there is but one.</summary>
    public Extent* Extents;

    /// <summary>Size in bytes.</summary>
    public long Size;

    /// <summary>The version of its record; none until committed.</summary>
    public RecordVersion Version;

    /// <summary>The removal of everything that came last before it was numbered.</summary>
    public long Cleared;

    /// <summary>Sums of its slices; null of an object of one slice, or whose sums are not known.</summary>
    public ulong* Sums;

    /// <summary>When its soft pin began, by the clock of the runtime.</summary>
    public long SoftSince;

    /// <summary>Neighbours in its queue of victims.</summary>
    public HeldCell* Before;

    /// <inheritdoc cref="Before"/>
    public HeldCell* After;

    /// <summary>Length of the key, in bytes.</summary>
    public int KeyLength;

    /// <summary>How many extents there are.</summary>
    public int ExtentCount;

    /// <summary>How many sums there are.</summary>
    public int SumCount;

    /// <summary>Readers that hold its extent in place.</summary>
    public int Pins;

    /// <summary>Number of its group in <see cref="HeldGroups"/>; 0: none.</summary>
    public int Group;

    /// <summary>When the first of <see cref="Reads"/> was, as <see cref="StoreTiers"/> counts time.</summary>
    public uint ReadSince;

    /// <summary>Where it is in its life.</summary>
    public HeldState State;

    /// <summary>The queue of victims it stands in.</summary>
    public VictimPlace Place;

    /// <summary>How hard its put asked for it to be kept.</summary>
    public byte Asked;

    /// <summary>How hard it is kept at the moment.</summary>
    public byte Kept;

    /// <summary>Whether it was proposed as a victim and neither refused nor dropped since.</summary>
    public bool Proposed;

    /// <summary>Whether it stands in a <see cref="HeldQueue"/>.</summary>
    public bool Queued;

    /// <summary>Reads into memory of a device lately; only where there are tiers.</summary>
    public byte Reads;

    /// <summary><see cref="Kept"/> by name.</summary>
    public ObjectPin Pin
    {
        readonly get => (ObjectPin)Kept;
        set => Kept = (byte)value;
    }

    /// <summary>What it occupies, in bytes.</summary>
    public readonly long Occupied => ExtentAllocator.Rounded(Size);

    /// <summary>Its extents in order.</summary>
    public static ReadOnlySpan<Extent> ExtentsOf(HeldCell* cell) =>
        cell->Extents is null ? new(&cell->Extent, 1) : new(cell->Extents, cell->ExtentCount);

    /// <summary>Whether it is the object of that key.</summary>
    public readonly bool IsOf(in MeshKey key) =>
        Hash == key.Hash && new ReadOnlySpan<byte>(Key, KeyLength).SequenceEqual(key.Bytes);
}

/// <summary>Where a complete object is in its life.</summary>
internal enum HeldState : byte
{
    /// <summary>Its extent is free.</summary>
    Gone,

    /// <summary>Bytes complete, not visible under its key.</summary>
    Sealed,

    /// <summary>Visible under its key.</summary>
    Committed,

    /// <summary>Left its key while pinned: invisible, and its extent not reusable yet.</summary>
    Zombie,
}
