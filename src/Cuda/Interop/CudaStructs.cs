// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cuda.Interop;

/// <summary>
/// What a process names its memory by to another: 64 bytes that only the driver reads (CU_IPC_HANDLE_SIZE).
/// https://docs.nvidia.com/cuda/cuda-driver-api/structCUipcMemHandle__v1.html
/// </summary>
internal unsafe struct CUipcMemHandle
{
    /// <summary>Its length.</summary>
    internal const int CU_IPC_HANDLE_SIZE = 64;

    internal fixed byte reserved[CU_IPC_HANDLE_SIZE];
}

/// <summary>
/// A place of memory, as a hint; zeros: none.
/// https://docs.nvidia.com/cuda/cuda-driver-api/structCUmemLocation__v1.html
/// </summary>
internal struct CUmemLocation
{
    internal int type;
    internal int id;
}

/// <summary>
/// How the copies of a batch are made. The hints matter for managed memory alone.
/// https://docs.nvidia.com/cuda/cuda-driver-api/structCUmemcpyAttributes__v1.html
/// </summary>
internal struct CUmemcpyAttributes
{
    internal CUmemcpySrcAccessOrder srcAccessOrder;
    internal CUmemLocation srcLocHint;
    internal CUmemLocation dstLocHint;
    internal uint flags;
}
