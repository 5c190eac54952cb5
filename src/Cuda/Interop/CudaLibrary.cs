// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Cuda.Interop;

/// <summary>
/// Finds and opens the CUDA driver library: the one place that knows its file names. The plain name exists only where
/// a development package is installed, so the versioned soname comes first.
/// </summary>
internal sealed unsafe class CudaLibrary
{
    /// <summary>Environment variable that names the library instead.</summary>
    internal const string PathVariable = "MCM_LIBCUDA";

    private static readonly string[] Names = ["libcuda.so.1", "libcuda.so"];

    // cuda.h renames these calls to the _v2 forms by macro; the names without it are the old, narrower calls.
    private static readonly string[] Needed =
    [
        "cuInit", "cuDriverGetVersion", "cuGetErrorName", "cuDeviceGetCount", "cuDeviceGet",
        "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2",
        "cuMemAlloc_v2", "cuMemFree_v2", "cuMemHostAlloc", "cuMemFreeHost", "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2", "cuStreamCreate", "cuStreamSynchronize",
        "cuStreamDestroy_v2", "cuPointerGetAttribute", "cuIpcGetMemHandle", "cuIpcOpenMemHandle_v2",
        "cuIpcCloseMemHandle",
    ];

    private CudaLibrary(nint handle)
    {
        cuInit = (delegate* unmanaged[Cdecl]<uint, int>)Export(handle, "cuInit");
        cuDeviceGetCount = (delegate* unmanaged[Cdecl]<int*, int>)Export(handle, "cuDeviceGetCount");
    }

    /// <summary>
    /// 0, or a CUresult; 100 is CUDA_ERROR_NO_DEVICE.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__INITIALIZE.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<uint, int> cuInit;

    /// <summary>
    /// 0, or a CUresult.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, int> cuDeviceGetCount;

    /// <summary>Opens the library, or says why not. The library stays loaded for the life of the process.</summary>
    /// <param name="path">The file to open alone, or null for the usual names.</param>
    /// <param name="reason">One line for a person when null is returned, else null.</param>
    internal static CudaLibrary? TryOpen(string? path, out string? reason)
    {
        string[] names = string.IsNullOrEmpty(path) ? Names : [path];
        foreach (string name in names)
        {
            if (!NativeLibrary.TryLoad(name, out nint handle))
                continue;
            foreach (string symbol in Needed)
            {
                if (NativeLibrary.TryGetExport(handle, symbol, out _))
                    continue;
                reason = $"missing symbol {symbol} in {name}: a driver for CUDA 11 or newer is needed";
                return null;
            }

            reason = null;
            return new CudaLibrary(handle);
        }

        reason = string.IsNullOrEmpty(path)
            ? $"no library: {Names[0]} cannot be loaded; install the NVIDIA driver or name it in {PathVariable}"
            : $"no library: {path} cannot be loaded";
        return null;
    }

    private static void* Export(nint handle, string symbol) => (void*)NativeLibrary.GetExport(handle, symbol);
}
