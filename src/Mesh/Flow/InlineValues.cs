// SPDX-License-Identifier: Apache-2.0

// On the data path.
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>The values of this node's own segments, for owners that answer with the bytes at once.</summary>
internal sealed class InlineValues(ObjectStore store, OwnIncarnation incarnation) : IInlineValues
{
    /// <inheritdoc/>
    public ulong Incarnation => incarnation.Value;

    /// <inheritdoc/>
    public unsafe bool TryWrite(in Replica replica, long size, ref MessagePackWriter writer)
    {
        if (!store.TryPin(replica.SegmentId, replica.Offset, replica.Generation, out var pin))
            return false;
        using (pin)
        {
            // What a device has is read by itself: the owner that answers here waits for nobody.
            if (pin.Length != size || !pin.Bytes.TryHost(out byte* bytes))
                return false;
            writer.Write(new ReadOnlySpan<byte>(bytes, (int)size));
            return true;
        }
    }
}
