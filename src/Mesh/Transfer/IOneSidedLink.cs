// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Transfer;

/// <summary>
/// A way to read a holder's memory without its doing: the holder neither sees the reads nor answers them. Bytes land in
/// any order, and may land late. One read uses it at a time. Its tasks end on the scheduler of their caller.
/// </summary>
internal interface IOneSidedLink
{
    /// <summary>Grows whenever something lands.</summary>
    long Landed { get; }

    /// <summary>
    /// Has the bytes of a read copied, in slices. True: all of them have landed; false: the link is broken or flushed,
    /// and nothing more lands.
    /// </summary>
    Task<bool> CopyAsync(ExtentRead read, NativeRange destination);

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
