// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Cuda.Copies;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

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
    internal bool HasDmaBuf => Library.cuMemGetHandleForAddressRange is not null
        && AttributeOf(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED) != 0;

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

    /// <summary>A dma-buf of memory of this device, whose context is entered.</summary>
    /// <param name="range">Whole pages of the host.</param>
    /// <returns>InvalidArgument where they are not; Device where there is no such thing.</returns>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal MeshResult<int> ExportDmaBuf(DeviceRange range)
    {
        int page = Environment.SystemPageSize;
        if (range.Address % page != 0 || range.Length <= 0 || range.Length % page != 0)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, "device:dma-buf",
                $"{range.Length} bytes at 0x{range.Address:x} are not whole pages of {page} bytes");
        }

        if (Library.cuMemGetHandleForAddressRange is null)
            return NoDmaBuf("the driver exports no dma-buf: one for CUDA 11.7 or newer is needed");
        if (!HasDmaBuf)
            return NoDmaBuf($"{Location} exports no dma-buf: the open kernel module of the driver does");
        int descriptor = -1;
        int result = Library.cuMemGetHandleForAddressRange(&descriptor, range.Address, (nuint)range.Length,
            CudaFlags.CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
        CudaException.ThrowIfFailed(Library, result, nameof(Library.cuMemGetHandleForAddressRange));
        return descriptor;
    }

    /// <summary>
    /// Waits until everybody sees what network cards have written into the memory of this device, whose context is
    /// entered.
    /// </summary>
    /// <returns>Device where neither the driver can do that nor the host's buses make it needless.</returns>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal MeshResult<bool> FlushWrites()
    {
        int ordering = AttributeOf(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING);
        if (ordering >= CudaFlags.CU_GPU_DIRECT_RDMA_WRITES_ORDERING_ALL_DEVICES)
            return true;
        int options = AttributeOf(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS);
        if (Library.cuFlushGPUDirectRDMAWrites is null
            || (options & CudaFlags.CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST) == 0)
        {
            return new MeshError(MeshErrorCode.Device, "device:flush",
                $"{Location} cannot flush what network cards write: a driver for CUDA 11.3 or newer can");
        }

        int result = Library.cuFlushGPUDirectRDMAWrites(CudaFlags.CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX,
            CudaFlags.CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_ALL_DEVICES);
        CudaException.ThrowIfFailed(Library, result, nameof(Library.cuFlushGPUDirectRDMAWrites));
        return true;
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

    private static MeshError NoDmaBuf(string message) => new(MeshErrorCode.Device, "device:dma-buf", message);

    /// <summary>A property; 0 where the driver does not know of it.</summary>
    private int AttributeOf(int attribute)
    {
        int value = 0;
        return Library.cuDeviceGetAttribute(&value, attribute, _native) == CUresult.CUDA_SUCCESS ? value : 0;
    }
}
