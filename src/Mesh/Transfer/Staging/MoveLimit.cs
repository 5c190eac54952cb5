// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Staging;

/// <summary>How long a move may take, from when this is made.</summary>
internal readonly struct MoveLimit(TimeProvider time, TimeSpan limit)
{
    private readonly long _start = time.GetTimestamp();

    /// <summary>What is left; none when it has passed.</summary>
    public TimeSpan Left => time.LeftOf(limit, _start);
}

/// <summary>What bounds a part of a move.</summary>
/// <param name="Left">How long it may take.</param>
/// <param name="Stop">Ends it, or null.</param>
internal readonly record struct MoveBounds(TimeSpan Left, IMoveStop? Stop);
