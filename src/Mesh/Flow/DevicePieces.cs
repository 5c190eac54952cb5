// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// A get into pieces of one device, as one list. They are written as the bytes arrive: when the get fails they may hold
/// bytes that were not verified.
/// </summary>
internal sealed class DevicePieces(NativeRange range) : IGetTarget
{
    /// <summary>The target of a get into pieces, wherever they are.</summary>
    public static IGetTarget TargetOf(CallerMemory memory, IReadOnlyList<NativeRange> pieces, ScratchMemory scratch,
        DeviceOrder order)
    {
        if (Pieces.Sum(pieces, "get").Error is { } wrong)
            return new RefusedTarget(wrong);
        var found = memory.Find(pieces, order, "get");
        if (!found.Succeeded)
            return new RefusedTarget(found.Error!);
        return found.Value is { } device ? new DevicePieces(device) : new PiecesTarget(pieces, scratch);
    }

    /// <inheritdoc/>
    public MeshResult<NativeRange> Prepare(long size) => size <= range.Length
        ? range.Part(0, size)
        : new MeshError(MeshErrorCode.InvalidArgument, "get",
            $"the pieces have {range.Length} bytes; the object has {size} bytes");

    private sealed class RefusedTarget(MeshError why) : IGetTarget
    {
        public MeshResult<NativeRange> Prepare(long size) => why;
    }
}
