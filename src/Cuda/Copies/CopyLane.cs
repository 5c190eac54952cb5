// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Devices;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>
/// A stream, and two pinned buffers so that one can be filled or emptied while the other's bytes are on their way. Used
/// by one copy at a time.
/// </summary>
internal sealed unsafe class CopyLane : IDisposable
{
    /// <summary>Buffers of a lane.</summary>
    internal const int Slots = 2;

    /// <summary>
    /// Length of each: long enough that what a copy costs beside its bytes does not show, short enough that the first
    /// bytes are there soon.
    /// </summary>
    internal const int SlotBytes = 1 << 20;

    private const int SlotStride = SlotBytes + PieceTable.Bytes;

    private readonly CudaHandle _stream;
    private readonly CudaHandle _pinned;
    private readonly CudaHandle[] _events;

    private CopyLane(CudaHandle stream, CudaHandle pinned, CudaHandle[] events)
    {
        _stream = stream;
        _pinned = pinned;
        _events = events;
    }

    /// <summary>The stream.</summary>
    internal nint Stream => _stream.Native;

    /// <summary>An event to find the end of a caller's work with.</summary>
    internal nint OrderEvent => _events[Slots].Native;

    /// <summary>Whether something may be on the stream.</summary>
    internal bool IsBusy { get; set; }

    /// <summary>Makes a lane in a context that is entered.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static CopyLane Create(CudaContext context)
    {
        CudaHandle? pinned = null;
        var events = new CudaHandle[Slots + 1];
        CudaHandle stream = CudaHandle.Stream(context);
        try
        {
            pinned = CudaHandle.Pinned(context, Slots * SlotStride);
            for (int i = 0; i < events.Length; i++)
                events[i] = CudaHandle.Event(context);
            return new CopyLane(stream, pinned, events);
        }
        catch (CudaException)
        {
            End(stream, pinned, events);
            throw;
        }
    }

    /// <summary>The event after what was put on the stream for a slot.</summary>
    internal nint Event(int slot) => _events[slot].Native;

    /// <summary>First byte of a slot's buffer.</summary>
    internal byte* Buffer(int slot) => (byte*)_pinned.Native + ((nint)slot * SlotStride);

    /// <summary>The table of a slot, which lies in pinned memory behind its buffer.</summary>
    internal PieceTable Table(int slot) => new(Buffer(slot) + SlotBytes);

    /// <summary>Gives everything back; nothing may be on the stream.</summary>
    public void Dispose() => End(_stream, _pinned, _events);

    private static void End(CudaHandle stream, CudaHandle? pinned, CudaHandle?[] events)
    {
        foreach (CudaHandle? made in events)
            made?.Dispose();
        pinned?.Dispose();
        stream.Dispose();
    }
}
