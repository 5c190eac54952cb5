// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Text;

namespace Mooncake.Mesh.Segments;

/// <summary>What a put asks of its holders besides keeping the bytes.</summary>
/// <param name="Pin">How hard the object is kept.</param>
/// <param name="Group">The objects it is evicted with, or null for none.</param>
public readonly record struct HeldAttributes(ObjectPin Pin, string? Group)
{
    /// <summary>Longest name of a group, in bytes of UTF-8.</summary>
    public const int MaxGroupBytes = 256;

    /// <summary>Why these cannot be held, or null.</summary>
    public MeshError? Validate(string stage)
    {
        if (Pin is < ObjectPin.None or > ObjectPin.Hard)
            return new MeshError(MeshErrorCode.InvalidArgument, stage, $"pin is {(int)Pin}; 0 to 2 are legal");
        int bytes = Group is null ? 0 : Encoding.UTF8.GetByteCount(Group);
        return bytes <= MaxGroupBytes ? null : new MeshError(MeshErrorCode.InvalidArgument, stage,
            $"group has {bytes} bytes; the limit is {MaxGroupBytes} bytes");
    }
}
