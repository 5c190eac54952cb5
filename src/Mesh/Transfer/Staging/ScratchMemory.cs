// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Transfer.Staging;

/// <summary>Native memory of ours for one call.</summary>
internal sealed unsafe class ScratchMemory : IDisposable
{
    private void* _pointer;

    /// <summary>The memory; of length 0 before <see cref="Size"/>.</summary>
    public NativeRange Range { get; private set; }

    /// <summary>Makes it this large.</summary>
    /// <returns>The memory; System when the process has none so large.</returns>
    public MeshResult<NativeRange> Size(long size)
    {
        if (_pointer is not null && Range.Length == size)
            return Range;
        Dispose();
        try
        {
            _pointer = NativeMemory.Alloc((nuint)Math.Max(1, size));
        }
        catch (OutOfMemoryException)
        {
            return new MeshError(MeshErrorCode.System, "memory",
                $"no {size} bytes of host memory for a value on its way");
        }

        Range = new NativeRange((nint)_pointer, size);
        return Range;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_pointer);
        _pointer = null;
        Range = default;
    }
}
