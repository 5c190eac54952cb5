// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// A complete object in a segment of this node, as its <see cref="ObjectStore"/> knows it. What is public here may be
/// read from any thread; the rest changes under the lock of the store.
/// </summary>
public sealed class HeldObject
{
    private NumberedVersion _version = NumberedVersion.None;

    internal HeldObject(MeshKey key, ulong objectId, ulong checksum, Extent extent, HeldAttributes attributes = default,
        SliceSums? sums = null)
    {
        Sums = sums is { Values.Length: > 1 } ? sums.Values : null;
        Key = key;
        ObjectId = objectId;
        Checksum = checksum;
        Extent = extent;
        Attributes = attributes;
        Pin = attributes.Pin;
    }

    /// <summary>The name.</summary>
    public MeshKey Key { get; }

    /// <summary>
    /// Which put wrote it; the same on all its replicas. A copy that joins an older object of the same bytes takes that
    /// one's when it is committed.
    /// </summary>
    public ulong ObjectId { get; internal set; }

    /// <summary>What its put asked for.</summary>
    public HeldAttributes Attributes { get; }

    /// <summary>The removal of everything that came last before it was numbered.</summary>
    public long Cleared { get; internal set; }

    /// <summary>Size in bytes.</summary>
    public long Size => Extent.Length;

    /// <summary>Checksum of all its bytes, as given at <see cref="ObjectStore.Seal"/>.</summary>
    public ulong Checksum { get; }

    /// <summary>The sums of its slices, which make up the checksum; null of an object of one slice.</summary>
    internal ulong[]? Sums { get; }

    /// <summary>Where its bytes are; true as long as the generation word says so.</summary>
    public Extent Extent { get; }

    /// <summary>The version of its record; none until committed, then only growing.</summary>
    public RecordVersion Version
    {
        // Behind a reference, as three words of a struct could be read half old, half new.
        get => Volatile.Read(ref _version).Value;
        internal set => Volatile.Write(ref _version, new NumberedVersion(value));
    }

    /// <summary>What it occupies, in bytes.</summary>
    internal long Occupied => ExtentAllocator.Rounded(Extent.Length);

    internal HeldState State { get; set; } = HeldState.Sealed;

    /// <summary>Readers that hold its extent in place.</summary>
    internal int Pins { get; set; }

    /// <summary>How hard it is kept at the moment.</summary>
    internal ObjectPin Pin { get; set; }

    /// <summary>When its soft pin began, by the clock of the runtime.</summary>
    internal long SoftSince { get; set; }

    /// <summary>The objects it leaves with, or null.</summary>
    internal HeldGroup? Group { get; set; }

    /// <summary>The queue of victims it stands in.</summary>
    internal VictimPlace Place { get; set; }

    /// <summary>Whether it was proposed as a victim and neither refused nor dropped since.</summary>
    internal bool Proposed { get; set; }

    /// <summary>Links for the eviction policy of the store; one with a queue of its own leaves them alone.</summary>
    internal EvictionLinks Links;

    private sealed class NumberedVersion(RecordVersion value)
    {
        public static readonly NumberedVersion None = new(default);

        public readonly RecordVersion Value = value;
    }
}

/// <summary>Neighbours in the queue of an eviction policy.</summary>
internal struct EvictionLinks
{
    public HeldObject? Before;
    public HeldObject? After;
    public bool Queued;
}

/// <summary>Where a complete object is in its life.</summary>
internal enum HeldState
{
    /// <summary>Bytes complete, not visible under its key.</summary>
    Sealed,

    /// <summary>Visible under its key.</summary>
    Committed,

    /// <summary>Left its key while pinned: invisible, and its extent not reusable yet.</summary>
    Zombie,

    /// <summary>Its extent is free.</summary>
    Gone,
}
