// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Cuda.Copies;
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>A device in use: its primary context, and what copies are made with. Thread-safe.</summary>
internal sealed unsafe class CudaDevice : IDisposable
{
    private readonly int _native;
    private long _peers;

    private CudaDevice(CudaContext context, int native, string location, TimeProvider time, PieceCopier copier)
    {
        Context = context;
        _native = native;
        Location = location;
        Copier = copier;
        Lanes = new LanePool(context, time);
    }

    /// <summary>"cuda:N".</summary>
    internal string Location { get; }

    /// <summary>Its primary context.</summary>
    internal CudaContext Context { get; }

    /// <summary>The driver.</summary>
    internal CudaLibrary Library => Context.Library;

    /// <summary>Whether it is lost.</summary>
    internal DeviceLoss Loss => Context.Loss;

    /// <summary>Streams with pinned memory.</summary>
    internal LanePool Lanes { get; }

    /// <summary>How scattered memory is copied.</summary>
    internal PieceCopier Copier { get; }

    /// <summary>Whether its memory can be exported as dma-buf.</summary>
    internal bool HasDmaBuf
    {
        get
        {
            int value = 0;
            return Library.cuMemGetHandleForAddressRange is not null
                && Library.cuDeviceGetAttribute(&value, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED,
                    _native) == CUresult.CUDA_SUCCESS && value != 0;
        }
    }

    /// <summary>Takes a device into use.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static CudaDevice Open(
        CudaLibrary library, int native, string location, DeviceLoss loss, TimeProvider time)
    {
        CudaContext context = CudaContext.Retain(library, native, loss);
        try
        {
            using ContextScope scope = context.Enter();
            return new CudaDevice(context, native, location, time, PieceCopier.Open(context));
        }
        catch (CudaException)
        {
            context.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Lets this device, whose context is entered, reach another's memory, where the two can. Copies between them are
    /// made by way of the host where they cannot, so a refusal is no failure.
    /// </summary>
    internal void Reach(CudaDevice other)
    {
        long bit = 1L << (other._native & 63);
        if ((Interlocked.Or(ref _peers, bit) & bit) != 0)
            return;
        int can = 0;
        if (Library.cuDeviceCanAccessPeer(&can, _native, other._native) == CUresult.CUDA_SUCCESS && can != 0)
            _ = Library.cuCtxEnablePeerAccess(other.Context.Native, 0);
    }

    /// <summary>
    /// Gives back what copies were made with, and the context once the last block of it is disposed. Nothing of a lost
    /// device is called.
    /// </summary>
    public void Dispose()
    {
        Lanes.Dispose();
        Copier.Dispose();
        Context.Dispose();
    }
}
