// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>
/// The primary context of a device, which the whole process shares, kept until this and all that was made in it is
/// disposed. That of a lost device is left as it is. Thread-safe.
/// </summary>
internal sealed unsafe class CudaContext : SafeHandle
{
    private readonly int _device;
    private volatile bool _disposed;
    private int _refusals;

    private CudaContext(CudaLibrary library, int device, DeviceLoss loss, nint context)
        : base(0, ownsHandle: true)
    {
        Library = library;
        _device = device;
        Loss = loss;
        SetHandle(context);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>The driver.</summary>
    internal CudaLibrary Library { get; }

    /// <summary>Whether the device is lost.</summary>
    internal DeviceLoss Loss { get; }

    /// <summary>The native context, for who holds this.</summary>
    internal nint Native => handle;

    /// <summary>Calls that were to end something and were refused: what they were to end is left.</summary>
    internal int Refusals => Volatile.Read(ref _refusals);

    /// <summary>Retains the primary context of a device.</summary>
    /// <exception cref="CudaException">Refused, as for a device that another process has for itself.</exception>
    internal static CudaContext Retain(CudaLibrary library, int device, DeviceLoss loss)
    {
        nint context = 0;
        int result = library.cuDevicePrimaryCtxRetain(&context, device);
        CudaException.ThrowIfFailed(library, result, nameof(library.cuDevicePrimaryCtxRetain));
        return new CudaContext(library, device, loss, context);
    }

    /// <summary>Makes the context current on this thread until the scope ends.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    /// <exception cref="ObjectDisposedException">This has been disposed.</exception>
    internal ContextScope Enter() => new(this);

    /// <summary>Keeps the context until DangerousRelease, whatever its owner does meanwhile.</summary>
    /// <exception cref="ObjectDisposedException">The owner has disposed it; others may still hold it.</exception>
    internal void Hold()
    {
        bool held = false;
        ObjectDisposedException.ThrowIf(_disposed, this);
        DangerousAddRef(ref held);
    }

    /// <summary>Ends a native object of this context, which is held; of a lost device nothing is ended.</summary>
    internal void End(delegate* unmanaged[Cdecl]<nint, int> destroy, nint native)
    {
        if (Loss.Error is not null)
            return;
        if (Library.cuCtxPushCurrent_v2(handle) != CUresult.CUDA_SUCCESS)
        {
            Interlocked.Increment(ref _refusals);
            return;
        }

        if (destroy(native) != CUresult.CUDA_SUCCESS)
            Interlocked.Increment(ref _refusals);
        Pop();
    }

    /// <summary>Makes the context before this one current again.</summary>
    internal void Pop()
    {
        nint popped;
        if (Library.cuCtxPopCurrent_v2(&popped) != CUresult.CUDA_SUCCESS)
            Interlocked.Increment(ref _refusals);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        // The base class knows itself closed only once the last holder has let go.
        _disposed = true;
        base.Dispose(disposing);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        if (Loss.Error is null && Library.cuDevicePrimaryCtxRelease_v2(_device) != CUresult.CUDA_SUCCESS)
            Interlocked.Increment(ref _refusals);
        return true;
    }
}

/// <summary>
/// A context is current on a thread, and an await may go on on another: so this is a ref struct, which no await can
/// stand in. The context stays until the scope ends.
/// </summary>
internal readonly unsafe ref struct ContextScope : IDisposable
{
    private readonly CudaContext _context;

    internal ContextScope(CudaContext context)
    {
        context.Hold();
        int result = context.Library.cuCtxPushCurrent_v2(context.Native);
        if (result != CUresult.CUDA_SUCCESS)
        {
            context.DangerousRelease();
            throw CudaException.Of(context.Library, result, nameof(CudaLibrary.cuCtxPushCurrent_v2));
        }

        _context = context;
    }

    public void Dispose()
    {
        _context.Pop();
        _context.DangerousRelease();
    }
}
