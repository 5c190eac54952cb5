// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cuda.Interop;

/// <summary>
/// What calls answer, as far as it is told apart here.
/// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html (CUresult)
/// </summary>
internal static class CUresult
{
    internal const int CUDA_SUCCESS = 0;
    internal const int CUDA_ERROR_INVALID_VALUE = 1;
    internal const int CUDA_ERROR_OUT_OF_MEMORY = 2;
    internal const int CUDA_ERROR_NO_DEVICE = 100;
    internal const int CUDA_ERROR_INVALID_CONTEXT = 201;
    internal const int CUDA_ERROR_INVALID_HANDLE = 400;
    internal const int CUDA_ERROR_NOT_READY = 600;
    internal const int CUDA_ERROR_NOT_SUPPORTED = 801;
}

/// <summary>
/// Properties of a device.
/// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html (CUdevice_attribute)
/// </summary>
internal static class CUdevice_attribute
{
    /// <summary>How what network cards have written can be flushed: bit 0, by a call of the host.</summary>
    internal const int CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS = 117;

    /// <summary>Who sees what network cards have written without that: 0 nobody, 100 the device, 200 all.</summary>
    internal const int CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING = 118;

    internal const int CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED = 124;
}

/// <summary>
/// What the driver tells of an address.
/// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html (CUpointer_attribute)
/// </summary>
internal static class CUpointer_attribute
{
    /// <summary>A <see cref="CUmemorytype"/>; 0 for what the driver does not know.</summary>
    internal const int CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2;

    /// <summary>Whether it moves between host and device by itself.</summary>
    internal const int CU_POINTER_ATTRIBUTE_IS_MANAGED = 8;

    /// <summary>The device's number.</summary>
    internal const int CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9;

    /// <summary>Whether it is of a plain cuMemAlloc; what is mapped in parts, or pooled, is not.</summary>
    internal const int CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE = 10;

    /// <summary>First byte of the allocation, or of the address range that it is mapped into.</summary>
    internal const int CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11;

    /// <summary>Length of that in bytes.</summary>
    internal const int CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12;
}

/// <summary>
/// Kinds of memory. https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html (CUmemorytype)
/// </summary>
internal static class CUmemorytype
{
    internal const int CU_MEMORYTYPE_DEVICE = 2;
}

/// <summary>
/// When the source of a copy of a batch is read.
/// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html (CUmemcpySrcAccessOrder)
/// </summary>
internal enum CUmemcpySrcAccessOrder
{
    /// <summary>In the order of the stream.</summary>
    CU_MEMCPY_SRC_ACCESS_ORDER_STREAM = 1,
}

/// <summary>
/// Flags of calls. https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html
/// </summary>
internal static class CudaFlags
{
    /// <summary>Every context of the process may use the memory.</summary>
    internal const uint CU_MEMHOSTALLOC_PORTABLE = 0x1;

    /// <summary>Kernels may use it, by the address that it has on the host.</summary>
    internal const uint CU_MEMHOSTALLOC_DEVICEMAP = 0x2;

    /// <summary>The stream does not wait for the default one, nor that one for it.</summary>
    internal const uint CU_STREAM_NON_BLOCKING = 0x1;

    /// <summary>The event takes no time, which makes it cheaper.</summary>
    internal const uint CU_EVENT_DISABLE_TIMING = 0x2;

    /// <summary>The only flag there is, and it must be given.</summary>
    internal const uint CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS = 0x1;

    /// <summary>A range's handle is a dma-buf (CUmemRangeHandleType).</summary>
    internal const int CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD = 0x1;

    /// <summary>The host may flush what network cards have written (CUflushGPUDirectRDMAWritesOptions).</summary>
    internal const int CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST = 0x1;

    /// <summary>The device of the current context is flushed (CUflushGPUDirectRDMAWritesTarget).</summary>
    internal const int CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX = 0;

    /// <summary>Every device sees it then (CUflushGPUDirectRDMAWritesScope).</summary>
    internal const int CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_ALL_DEVICES = 200;

    /// <summary>Every device sees it anyhow (CUGPUDirectRDMAWritesOrdering).</summary>
    internal const int CU_GPU_DIRECT_RDMA_WRITES_ORDERING_ALL_DEVICES = 200;
}
