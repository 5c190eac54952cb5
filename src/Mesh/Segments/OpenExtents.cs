// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>
/// What of a store can still become an object: extents that are being filled or wait for their place on record. Words
/// after <paramref name="UpTo"/> were given out later.
/// </summary>
/// <param name="UpTo">The word given out last.</param>
/// <param name="Words">The words of such extents.</param>
internal sealed record OpenExtents(ulong UpTo, ulong[] Words)
{
    /// <summary>Whether an extent was an object, or had been one, when this was taken.</summary>
    public bool IsSettled(ulong word) => (long)(word - UpTo) <= 0 && !Words.AsSpan().Contains(word);
}
