// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>Sends the bytes of a device, and sums them on the way.</summary>
/// <param name="socket">Where they go.</param>
/// <param name="length">How many come, in bytes: all of them share one limit of time.</param>
/// <param name="begin">Sends what goes before them, when the first are there; null: nothing does.</param>
/// <param name="sums">Gets their sums, or null.</param>
internal sealed unsafe class SocketSink(BlockingSocket socket, long length, Func<bool>? begin, SliceSums? sums = null)
    : IChunkSink
{
    private readonly RunningSums? _sums = sums is null ? null : new RunningSums(sums);
    private readonly long _end = BlockingSocket.EndOf(length);

    /// <summary>Whether anything was sent, or may have been.</summary>
    public bool HasBegun { get; private set; }

    /// <inheritdoc/>
    public bool Take(ReadOnlySpan<byte> bytes, long offset)
    {
        if (!HasBegun)
        {
            HasBegun = true;
            if (begin is not null && !begin())
                return false;
        }

        _sums?.Add(bytes);
        fixed (byte* first = bytes)
            return socket.TrySend(first, bytes.Length, _end);
    }
}

/// <summary>Receives the bytes for a device, and sums them on the way.</summary>
/// <param name="socket">Where they come from.</param>
/// <param name="length">How many, in bytes: all of them share one limit of time.</param>
/// <param name="sums">Gets their sums, or null.</param>
internal sealed unsafe class SocketSource(BlockingSocket socket, long length, SliceSums? sums) : IChunkSource
{
    private readonly RunningSums? _sums = sums is null ? null : new RunningSums(sums);
    private readonly long _end = BlockingSocket.EndOf(length);

    /// <summary>Bytes received so far, in whole chunks.</summary>
    public long Received { get; private set; }

    /// <inheritdoc/>
    public bool Fill(Span<byte> bytes, long offset)
    {
        fixed (byte* first = bytes)
        {
            if (socket.Receive(first, bytes.Length, _end) < bytes.Length)
                return false;
        }

        _sums?.Add(bytes);
        Received += bytes.Length;
        return true;
    }
}
