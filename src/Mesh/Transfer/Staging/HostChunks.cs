// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Staging;

/// <summary>Says whether a move is to go on; null where nothing can stop it but its end.</summary>
internal interface IMoveStop
{
    /// <summary>Whether it is to end before it is done.</summary>
    bool IsStopped { get; }
}

/// <summary>Takes the bytes of a device into host memory, or nowhere, and sums them.</summary>
/// <param name="to">First byte; null: they are only summed.</param>
/// <param name="sums">Gets their sums, or null.</param>
/// <param name="stop">Ends the move, or null.</param>
internal sealed unsafe class HostSink(byte* to, SliceSums? sums, IMoveStop? stop) : IChunkSink
{
    private readonly RunningSums? _sums = sums is null ? null : new RunningSums(sums);

    /// <inheritdoc/>
    public bool Take(ReadOnlySpan<byte> bytes, long offset)
    {
        if (stop is { IsStopped: true })
            return false;
        if (to is not null)
            bytes.CopyTo(new Span<byte>(to + offset, bytes.Length));
        _sums?.Add(bytes);
        return true;
    }
}

/// <summary>Gives the bytes of host memory to a device, and sums them.</summary>
/// <param name="from">First byte.</param>
/// <param name="sums">Gets their sums, or null.</param>
/// <param name="stop">Ends the move, or null.</param>
internal sealed unsafe class HostSource(byte* from, SliceSums? sums, IMoveStop? stop) : IChunkSource
{
    private readonly RunningSums? _sums = sums is null ? null : new RunningSums(sums);

    /// <inheritdoc/>
    public bool Fill(Span<byte> bytes, long offset)
    {
        if (stop is { IsStopped: true })
            return false;
        new ReadOnlySpan<byte>(from + offset, bytes.Length).CopyTo(bytes);
        // Of what the device is given, not of what is there now: the caller's bytes may change.
        _sums?.Add(bytes);
        return true;
    }
}
