// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Transfer;

/// <summary>A slice of a holder's segment, and where in the caller's memory it goes.</summary>
/// <param name="SegmentId">The segment.</param>
/// <param name="Offset">Where in it the slice starts, in bytes.</param>
/// <param name="Destination">The first byte that is written.</param>
/// <param name="Length">Its length in bytes.</param>
internal readonly record struct SliceRead(int SegmentId, long Offset, nint Destination, int Length);

/// <summary>
/// A way to read a holder's memory without its doing: the holder neither sees the reads nor answers them. What is
/// posted lands in any order, and may land late. One read uses it at a time.
/// </summary>
internal interface IOneSidedLink
{
    /// <summary>Length of a slice, in bytes.</summary>
    int SliceBytes { get; }

    /// <summary>Most slices under way at once.</summary>
    int Window { get; }

    /// <summary>
    /// Posts the read of a slice. True: it has landed, all of it; false: the link is broken or flushed, and no more of
    /// it lands. Ends on the scheduler of its caller.
    /// </summary>
    Task<bool> ReadAsync(in SliceRead slice);

    /// <summary>
    /// Reads the generation word of the extent at an offset, after everything that has landed by now; null: the link is
    /// broken or flushed.
    /// </summary>
    Task<ulong?> ReadWordAsync(int segmentId, long offset);

    /// <summary>
    /// Breaks the link. Once this has ended nothing that was posted can land any more (a queue pair in the error state,
    /// all of its completions taken).
    /// </summary>
    Task FlushAsync();
}
