// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>An allocated range of a segment, as records and readers name it.</summary>
/// <param name="SegmentId">The segment, within its node.</param>
/// <param name="Offset">First byte, from the start of the segment; a multiple of 4,096.</param>
/// <param name="Length">Bytes of the object in it, not rounded; a value of 0 bytes occupies one granule.</param>
/// <param name="Generation">The word in the generation table while the range belongs to this object.</param>
public readonly record struct Extent(int SegmentId, long Offset, long Length, ulong Generation);
