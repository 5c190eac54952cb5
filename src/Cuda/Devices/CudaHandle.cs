// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>
/// A native object and a hold on the context it was made in: whatever order the owners are disposed in, it goes before
/// its context. That of a lost device is never given back.
/// </summary>
internal sealed unsafe class CudaHandle : SafeHandle
{
    private readonly CudaContext _context;
    private readonly delegate* unmanaged[Cdecl]<nint, int> _destroy;

    /// <summary>Takes over an object that was made in a context which the caller has entered.</summary>
    /// <param name="context">The context.</param>
    /// <param name="native">The object.</param>
    /// <param name="destroy">The native call that ends it.</param>
    internal CudaHandle(CudaContext context, nint native, delegate* unmanaged[Cdecl]<nint, int> destroy)
        : base(0, ownsHandle: true)
    {
        bool held = false;
        context.DangerousAddRef(ref held);
        _context = context;
        _destroy = destroy;
        SetHandle(native);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>The native object, for the owner's own calls.</summary>
    internal nint Native => handle;

    /// <summary>A stream that does not wait for the default one.</summary>
    /// <exception cref="CudaException">Refused.</exception>
    internal static CudaHandle Stream(CudaContext context)
    {
        CudaLibrary library = context.Library;
        nint stream = 0;
        int result = library.cuStreamCreate(&stream, CudaFlags.CU_STREAM_NON_BLOCKING);
        CudaException.ThrowIfFailed(library, result, nameof(library.cuStreamCreate));
        return new CudaHandle(context, stream, library.cuStreamDestroy_v2);
    }

    /// <summary>An event that takes no time.</summary>
    /// <exception cref="CudaException">Refused.</exception>
    internal static CudaHandle Event(CudaContext context)
    {
        CudaLibrary library = context.Library;
        nint made = 0;
        int result = library.cuEventCreate(&made, CudaFlags.CU_EVENT_DISABLE_TIMING);
        CudaException.ThrowIfFailed(library, result, nameof(library.cuEventCreate));
        return new CudaHandle(context, made, library.cuEventDestroy_v2);
    }

    /// <summary>Pinned host memory that kernels reach by the same address.</summary>
    /// <exception cref="CudaException">Refused.</exception>
    internal static CudaHandle Pinned(CudaContext context, int length)
    {
        CudaLibrary library = context.Library;
        void* memory = null;
        int result = library.cuMemHostAlloc(&memory, (nuint)length,
            CudaFlags.CU_MEMHOSTALLOC_PORTABLE | CudaFlags.CU_MEMHOSTALLOC_DEVICEMAP);
        CudaException.ThrowIfFailed(library, result, nameof(library.cuMemHostAlloc));
        return new CudaHandle(context, (nint)memory, library.cuMemFreeHost);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        _context.End(_destroy, handle);
        _context.DangerousRelease();
        return true;
    }
}
