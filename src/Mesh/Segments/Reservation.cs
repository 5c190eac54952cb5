// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// An extent that is being filled. It has no timeout: <see cref="ObjectStore.Seal"/> or
/// <see cref="ObjectStore.Abort"/> ends it, and its memory stays until then, even past the end of the store.
/// </summary>
public sealed class Reservation
{
    internal unsafe Reservation(MeshKey key, ulong objectId, Extent extent, byte* pointer, HeldAttributes attributes)
    {
        Key = key;
        ObjectId = objectId;
        Extent = extent;
        Pointer = pointer;
        Attributes = attributes;
    }

    /// <summary>The name the object shall have.</summary>
    public MeshKey Key { get; }

    /// <summary>Which put writes it.</summary>
    public ulong ObjectId { get; }

    /// <summary>Size in bytes.</summary>
    public long Size => Extent.Length;

    /// <summary>What its put asks for.</summary>
    public HeldAttributes Attributes { get; }

    /// <summary>Where the bytes go.</summary>
    public Extent Extent { get; }

    /// <summary>The first byte to fill; not to be used once the reservation has ended.</summary>
    public unsafe byte* Pointer { get; }

    /// <summary>Sums of its bytes, when all of them came and were summed on the way; null otherwise.</summary>
    internal SliceSums? Sums { get; set; }

    /// <summary>Whether it was sealed or aborted.</summary>
    internal bool Ended { get; set; }
}
