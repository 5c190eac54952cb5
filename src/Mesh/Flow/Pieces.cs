// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>Several ranges of the caller's memory that hold one value, one after the other.</summary>
internal static unsafe class Pieces
{
    /// <summary>Most pieces of one value.</summary>
    public const int Most = 4096;

    /// <summary>Bytes of all pieces together, or why they can be no memory of a caller.</summary>
    public static MeshResult<long> Sum(IReadOnlyList<NativeRange> pieces, string stage)
    {
        if (pieces.Count > Most)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, stage,
                $"pieces are {pieces.Count}; the limit is {Most}");
        }

        long sum = 0;
        for (int i = 0; i < pieces.Count; i++)
        {
            if (pieces[i].Validate(stage, $"piece {i}") is { } wrong)
                return wrong;
            if (pieces[i].Length > long.MaxValue - sum)
                return new MeshError(MeshErrorCode.InvalidArgument, stage, "the pieces together have over 2^63 bytes");
            sum += pieces[i].Length;
        }

        return sum;
    }

    /// <summary>Copies the pieces to <paramref name="to"/>, one after the other.</summary>
    public static void Gather(IReadOnlyList<NativeRange> pieces, NativeRange to)
    {
        long at = 0;
        for (int i = 0; i < pieces.Count; i++)
        {
            Buffer.MemoryCopy((byte*)pieces[i].Address, (byte*)to.Address + at, to.Length - at, pieces[i].Length);
            at += pieces[i].Length;
        }
    }

    /// <summary>Copies <paramref name="size"/> bytes to the pieces; bytes after them are not touched.</summary>
    public static void Scatter(NativeRange from, long size, IReadOnlyList<NativeRange> pieces)
    {
        long at = 0;
        for (int i = 0; i < pieces.Count && at < size; i++)
        {
            long part = Math.Min(pieces[i].Length, size - at);
            Buffer.MemoryCopy((byte*)from.Address + at, (byte*)pieces[i].Address, pieces[i].Length, part);
            at += part;
        }
    }
}

/// <summary>
/// A get into several pieces: into memory of ours, and from there once it is verified. So a piece never holds bytes of
/// an object that left its place.
/// </summary>
internal sealed class PiecesTarget(IReadOnlyList<NativeRange> pieces, ScratchMemory scratch) : IGetTarget
{
    /// <inheritdoc/>
    public MeshResult<NativeRange> Prepare(long size)
    {
        var sum = Pieces.Sum(pieces, "get");
        if (!sum.Succeeded)
            return sum.Error!;
        return size <= sum.Value
            ? scratch.Size(size)
            : new MeshError(MeshErrorCode.InvalidArgument, "get",
                $"the {pieces.Count} pieces have {sum.Value} bytes; the object has {size} bytes");
    }
}
