// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Flow;

/// <summary>A get into an array made once the size is known; pinned until disposed.</summary>
internal sealed class ArrayTarget : IGetTarget, IDisposable
{
    private GCHandle _pin;

    /// <summary>The value.</summary>
    public byte[] Array { get; private set; } = [];

    /// <inheritdoc/>
    public MeshResult<NativeRange> Prepare(long size)
    {
        if (size > System.Array.MaxLength)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, "get",
                $"the object has {size} bytes; an array holds {System.Array.MaxLength}: pass a buffer");
        }

        if (Array.Length != size || !_pin.IsAllocated)
        {
            Dispose();
            Array = GC.AllocateUninitializedArray<byte>((int)size);
            _pin = GCHandle.Alloc(Array, GCHandleType.Pinned);
        }

        return new NativeRange(_pin.AddrOfPinnedObject(), size);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_pin.IsAllocated)
            _pin.Free();
    }
}

/// <summary>A get into memory of the caller; an object that is larger is refused before a byte is written.</summary>
internal sealed class RangeTarget(NativeRange range) : IGetTarget
{
    /// <inheritdoc/>
    public NativeRange Find(CallerMemory memory, NativeRange prepared, DeviceOrder order) =>
        memory.Find(prepared, order);

    /// <inheritdoc/>
    public MeshResult<NativeRange> Prepare(long size) => range.Validate("get", "the destination") is { } wrong
        ? wrong
        : size <= range.Length
        ? range
        : new MeshError(MeshErrorCode.InvalidArgument, "get",
            $"the destination has {range.Length} bytes; the object has {size} bytes");
}

/// <summary>Managed memory held in place for one call.</summary>
internal readonly struct PinnedMemory : IDisposable
{
    private readonly MemoryHandle _handle;

    public unsafe PinnedMemory(ReadOnlyMemory<byte> memory)
    {
        _handle = memory.Pin();
        Range = new NativeRange((nint)_handle.Pointer, memory.Length);
    }

    public NativeRange Range { get; }

    public void Dispose() => _handle.Dispose();
}
