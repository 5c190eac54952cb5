// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// An extent that is being filled. It has no timeout: <see cref="ObjectStore.Seal"/> or
/// <see cref="ObjectStore.Abort"/> ends it, and its memory stays until then, even past the end of the store.
/// </summary>
public sealed class Reservation
{
    private readonly SegmentBytes[] _bytes;

    internal Reservation(MeshKey key, ulong objectId, long size, Extent[] extents, SegmentBytes[] bytes,
        HeldAttributes attributes)
    {
        Key = key;
        ObjectId = objectId;
        Size = size;
        Extents = extents;
        _bytes = bytes;
        Attributes = attributes;
    }

    /// <summary>The name the object shall have.</summary>
    public MeshKey Key { get; }

    /// <summary>Which put writes it.</summary>
    public ulong ObjectId { get; }

    /// <summary>Size in bytes.</summary>
    public long Size { get; }

    /// <summary>What its put asks for.</summary>
    public HeldAttributes Attributes { get; }

    /// <summary>
    /// Where the bytes go, in order: one extent, or several where no single hole was large enough. All but the last
    /// have whole slices of the object.
    /// </summary>
    public IReadOnlyList<Extent> Extents { get; }

    /// <summary>Whether there are several.</summary>
    public bool IsScattered => Extents.Count > 1;

    /// <summary>The bytes of an extent to fill; not to be used once the reservation has ended.</summary>
    public SegmentBytes BytesOf(int extent) => _bytes[extent];

    /// <summary>Sums of its bytes, when all of them came and were summed on the way; null otherwise.</summary>
    internal SliceSums? Sums { get; set; }

    /// <summary>Whether it was sealed or aborted.</summary>
    internal bool Ended { get; set; }
}
