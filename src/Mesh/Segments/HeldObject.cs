// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>
/// A complete object in a segment of this node, as its <see cref="ObjectStore"/> knew it when it was asked; what the
/// store is told of it later reaches the object itself as long as it is there. Equal are those of one extent and word.
/// Not for two threads at a time.
/// </summary>
public sealed unsafe class HeldObject : IEquatable<HeldObject>
{
    internal HeldObject(HeldCell* cell)
    {
        Cell = cell;
        ObjectId = cell->ObjectId;
        Checksum = cell->Checksum;
        Extent = cell->Extent;
        Size = cell->Size;
        IsScattered = cell->Extents is not null;
        Version = cell->Version;
        Cleared = cell->Cleared;
    }

    /// <summary>The name.</summary>
    public required MeshKey Key { get; init; }

    /// <summary>What its put asked for.</summary>
    public required HeldAttributes Attributes { get; init; }

    /// <summary>
    /// Which put wrote it; the same on all its replicas. A copy that joins an older object of the same bytes takes that
    /// one's when it is committed.
    /// </summary>
    public ulong ObjectId { get; private set; }

    /// <summary>The removal of everything that came last before it was numbered.</summary>
    public long Cleared { get; private set; }

    /// <summary>Size in bytes.</summary>
    public long Size { get; }

    /// <summary>Checksum of all its bytes, as given at <see cref="ObjectStore.Seal"/>.</summary>
    public ulong Checksum { get; }

    /// <summary>Where its bytes are, or the first of them; true as long as the generation word says so.</summary>
    public Extent Extent { get; }

    /// <summary>Whether its bytes are in several extents.</summary>
    public bool IsScattered { get; }

    /// <summary>The version of its record; none until committed.</summary>
    public RecordVersion Version { get; private set; }

    /// <summary>Where the store has it; only under its lock, through <see cref="HeldCells.Of"/>.</summary>
    internal HeldCell* Cell { get; }

    /// <inheritdoc/>
    public bool Equals(HeldObject? other) => other is not null && Extent == other.Extent;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as HeldObject);

    /// <inheritdoc/>
    public override int GetHashCode() => Extent.GetHashCode();

    /// <summary>It was committed.</summary>
    internal void Committed(in CommitAs record)
    {
        Version = record.Version;
        Cleared = record.Cleared;
        if (record.ObjectId != 0)
            ObjectId = record.ObjectId;
    }
}
