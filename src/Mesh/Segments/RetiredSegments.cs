// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Segments of a store that take no more objects: their device is lost, or its user wants the memory back.
/// </summary>
internal sealed class RetiredSegments(Lock gate, SegmentSet segments, HeldTable held)
{
    private bool _closed;

    /// <summary>The store has closed.</summary>
    public void Close() => _closed = true;

    /// <summary>A segment takes no more objects; what it has stays until it is dropped.</summary>
    /// <returns>False when it is so already, or there is no such segment.</returns>
    public bool TryRetire(int segmentId)
    {
        lock (gate)
            return !_closed && (uint)segmentId < (uint)segments.All.Count && segments.TryRetire(segmentId);
    }

    /// <summary>Drops the objects that have bytes in a segment, about <paramref name="max"/> looked at.</summary>
    /// <param name="segmentId">The segment.</param>
    /// <param name="from">Hash to begin at.</param>
    /// <param name="max">How many are looked at.</param>
    /// <param name="dropped">They are appended here.</param>
    /// <returns>Where the next page starts, or null at the end.</returns>
    public ulong? Drop(int segmentId, ulong from, int max, List<HeldObject> dropped)
    {
        lock (gate)
            return _closed ? null : held.DropIn(segmentId, from, max, dropped);
    }

    /// <summary>Whether a retired segment has no byte in use: its memory may go.</summary>
    public bool IsEmpty(int segmentId)
    {
        lock (gate)
        {
            var segment = segments.All[segmentId];
            return !_closed && segment.IsRetired && segment.Allocator.FreeBytes == segment.Length;
        }
    }
}
