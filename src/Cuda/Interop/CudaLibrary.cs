// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Cuda.Interop;

using unsafe CuMemcpyHtoD = delegate* unmanaged[Cdecl]<nint, void*, nuint, nint, int>;
using unsafe CuMemcpyDtoH = delegate* unmanaged[Cdecl]<void*, nint, nuint, nint, int>;
using unsafe CuMemcpyPeer = delegate* unmanaged[Cdecl]<nint, nint, nint, nint, nuint, nint, int>;
using unsafe CuIpcOpenMemHandle = delegate* unmanaged[Cdecl]<nint*, CUipcMemHandle, uint, int>;
using unsafe CuMemcpyBatch =
    delegate* unmanaged[Cdecl]<nint*, nint*, nuint*, nuint, CUmemcpyAttributes*, nuint*, nuint, nuint*, nint, int>;
using unsafe CuMemGetHandleForAddressRange = delegate* unmanaged[Cdecl]<void*, nint, nuint, int, ulong, int>;
using unsafe CuPointerGetAttributes = delegate* unmanaged[Cdecl]<uint, int*, void**, nint, int>;
using unsafe CuLaunchKernel =
    delegate* unmanaged[Cdecl]<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>;

/// <summary>
/// Finds and opens the CUDA driver library: the one place that knows its file names, and the raw calls under their
/// native names. The plain name exists only where a development package is installed, so the versioned soname comes
/// first.
/// </summary>
/// <remarks>
/// cuda.h renames some calls to their _v2 forms by macro; the names without it are older, narrower calls. A CUdeviceptr
/// is an unsigned 64-bit number there and an address here: the driver is on 64-bit hosts only. Contexts, streams,
/// events, modules and functions are pointers to what only the driver knows. All return a CUresult, 0 being success;
/// the first of each group says where the group is described.
/// </remarks>
internal sealed unsafe class CudaLibrary
{
    /// <summary>Environment variable that names the library instead.</summary>
    internal const string PathVariable = "MCM_LIBCUDA";

    internal static readonly string[] Names = ["libcuda.so.1", "libcuda.so"];

    private readonly nint _library;
    private readonly string[] _without;
    private string? _missing;

    private CudaLibrary(nint library, string name, string[] without)
    {
        _library = library;
        _without = without;
        Name = name;
        cuInit = (delegate* unmanaged[Cdecl]<uint, int>)Needed("cuInit");
        cuDriverGetVersion = (delegate* unmanaged[Cdecl]<int*, int>)Needed("cuDriverGetVersion");
        cuGetErrorName = (delegate* unmanaged[Cdecl]<int, byte**, int>)Needed("cuGetErrorName");
        cuDeviceGetCount = (delegate* unmanaged[Cdecl]<int*, int>)Needed("cuDeviceGetCount");
        cuDeviceGet = (delegate* unmanaged[Cdecl]<int*, int, int>)Needed("cuDeviceGet");
        cuDeviceGetName = (delegate* unmanaged[Cdecl]<byte*, int, int, int>)Needed("cuDeviceGetName");
        cuDeviceGetPCIBusId = (delegate* unmanaged[Cdecl]<byte*, int, int, int>)Needed("cuDeviceGetPCIBusId");
        cuDeviceGetAttribute = (delegate* unmanaged[Cdecl]<int*, int, int, int>)Needed("cuDeviceGetAttribute");
        cuDevicePrimaryCtxRetain = (delegate* unmanaged[Cdecl]<nint*, int, int>)Needed("cuDevicePrimaryCtxRetain");
        cuDevicePrimaryCtxRelease_v2 = (delegate* unmanaged[Cdecl]<int, int>)Needed("cuDevicePrimaryCtxRelease_v2");
        cuCtxPushCurrent_v2 = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuCtxPushCurrent_v2");
        cuCtxPopCurrent_v2 = (delegate* unmanaged[Cdecl]<nint*, int>)Needed("cuCtxPopCurrent_v2");
        cuCtxGetDevice = (delegate* unmanaged[Cdecl]<int*, int>)Needed("cuCtxGetDevice");
        cuDeviceCanAccessPeer = (delegate* unmanaged[Cdecl]<int*, int, int, int>)Needed("cuDeviceCanAccessPeer");
        cuCtxEnablePeerAccess = (delegate* unmanaged[Cdecl]<nint, uint, int>)Needed("cuCtxEnablePeerAccess");
        cuMemGetInfo_v2 = (delegate* unmanaged[Cdecl]<nuint*, nuint*, int>)Needed("cuMemGetInfo_v2");
        cuMemAlloc_v2 = (delegate* unmanaged[Cdecl]<nint*, nuint, int>)Needed("cuMemAlloc_v2");
        cuMemFree_v2 = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuMemFree_v2");
        cuMemHostAlloc = (delegate* unmanaged[Cdecl]<void**, nuint, uint, int>)Needed("cuMemHostAlloc");
        cuMemFreeHost = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuMemFreeHost");
        cuMemcpyHtoDAsync_v2 = (CuMemcpyHtoD)Needed("cuMemcpyHtoDAsync_v2");
        cuMemcpyDtoHAsync_v2 = (CuMemcpyDtoH)Needed("cuMemcpyDtoHAsync_v2");
        cuMemcpyDtoDAsync_v2 = (delegate* unmanaged[Cdecl]<nint, nint, nuint, nint, int>)Needed("cuMemcpyDtoDAsync_v2");
        cuMemcpyPeerAsync = (CuMemcpyPeer)Needed("cuMemcpyPeerAsync");
        cuMemsetD8Async = (delegate* unmanaged[Cdecl]<nint, byte, nuint, nint, int>)Needed("cuMemsetD8Async");
        cuIpcGetMemHandle = (delegate* unmanaged[Cdecl]<CUipcMemHandle*, nint, int>)Needed("cuIpcGetMemHandle");
        cuIpcOpenMemHandle_v2 = (CuIpcOpenMemHandle)Needed("cuIpcOpenMemHandle_v2");
        cuIpcCloseMemHandle = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuIpcCloseMemHandle");
        cuMemcpyBatchAsync = (CuMemcpyBatch)Optional("cuMemcpyBatchAsync");
        cuMemGetHandleForAddressRange = (CuMemGetHandleForAddressRange)Optional("cuMemGetHandleForAddressRange");
        cuFlushGPUDirectRDMAWrites =
            (delegate* unmanaged[Cdecl]<int, int, int>)Optional("cuFlushGPUDirectRDMAWrites");
        cuPointerGetAttributes = (CuPointerGetAttributes)Needed("cuPointerGetAttributes");
        cuStreamCreate = (delegate* unmanaged[Cdecl]<nint*, uint, int>)Needed("cuStreamCreate");
        cuStreamQuery = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuStreamQuery");
        cuStreamWaitEvent = (delegate* unmanaged[Cdecl]<nint, nint, uint, int>)Needed("cuStreamWaitEvent");
        cuStreamDestroy_v2 = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuStreamDestroy_v2");
        cuEventCreate = (delegate* unmanaged[Cdecl]<nint*, uint, int>)Needed("cuEventCreate");
        cuEventRecord = (delegate* unmanaged[Cdecl]<nint, nint, int>)Needed("cuEventRecord");
        cuEventQuery = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuEventQuery");
        cuEventDestroy_v2 = (delegate* unmanaged[Cdecl]<nint, int>)Needed("cuEventDestroy_v2");
        cuModuleLoadData = (delegate* unmanaged[Cdecl]<nint*, byte*, int>)Optional("cuModuleLoadData");
        cuModuleGetFunction = (delegate* unmanaged[Cdecl]<nint*, nint, byte*, int>)Optional("cuModuleGetFunction");
        cuModuleUnload = (delegate* unmanaged[Cdecl]<nint, int>)Optional("cuModuleUnload");
        cuLaunchKernel = (CuLaunchKernel)Optional("cuLaunchKernel");
    }

    /// <summary>The name it was found by.</summary>
    internal string Name { get; }

    /// <summary>
    /// 0, or a CUresult; 100 is CUDA_ERROR_NO_DEVICE.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__INITIALIZE.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<uint, int> cuInit;

    /// <summary>
    /// Newest CUDA that the driver knows: 1000 x major + 10 x minor.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__VERSION.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, int> cuDriverGetVersion;

    /// <summary>
    /// The name of a CUresult, which stays; 1 for a number that is none.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__ERROR.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int, byte**, int> cuGetErrorName;

    /// <summary>
    /// Number of devices that this process may see.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, int> cuDeviceGetCount;

    /// <summary>A device by number.</summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, int, int> cuDeviceGet;

    /// <summary>Its model: (text, room, device).</summary>
    internal readonly delegate* unmanaged[Cdecl]<byte*, int, int, int> cuDeviceGetName;

    /// <summary>Its place on PCI, in capitals: (text, room, device).</summary>
    internal readonly delegate* unmanaged[Cdecl]<byte*, int, int, int> cuDeviceGetPCIBusId;

    /// <summary>A property of a device: (value, <see cref="CUdevice_attribute"/>, device).</summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, int, int, int> cuDeviceGetAttribute;

    /// <summary>
    /// The context that everybody in the process shares, counted.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__PRIMARY__CTX.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<nint*, int, int> cuDevicePrimaryCtxRetain;

    /// <summary>Gives up one count; the last destroys the context and all in it.</summary>
    internal readonly delegate* unmanaged[Cdecl]<int, int> cuDevicePrimaryCtxRelease_v2;

    /// <summary>
    /// Makes a context current on this thread, over the one before.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__CTX.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuCtxPushCurrent_v2;

    /// <summary>Brings back the one before.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint*, int> cuCtxPopCurrent_v2;

    /// <summary>The device of this thread's context; 201: it has none.</summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, int> cuCtxGetDevice;

    /// <summary>
    /// Whether the second device's memory is in reach of the first.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__PEER__ACCESS.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int*, int, int, int> cuDeviceCanAccessPeer;

    /// <summary>Lets the current context reach another's memory; 704: it does already.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, uint, int> cuCtxEnablePeerAccess;

    /// <summary>
    /// Free and total bytes of the current context's device.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<nuint*, nuint*, int> cuMemGetInfo_v2;

    /// <summary>Takes device memory; its bytes are what they were. 2: there is none.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint*, nuint, int> cuMemAlloc_v2;

    /// <summary>Gives it back. Waits for the device.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuMemFree_v2;

    /// <summary>Takes pinned host memory: (pointer, bytes, flags).</summary>
    internal readonly delegate* unmanaged[Cdecl]<void**, nuint, uint, int> cuMemHostAlloc;

    /// <summary>Gives it back.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuMemFreeHost;

    /// <summary>Host to device: (to, from, bytes, stream).</summary>
    internal readonly CuMemcpyHtoD cuMemcpyHtoDAsync_v2;

    /// <summary>Device to host: (to, from, bytes, stream).</summary>
    internal readonly CuMemcpyDtoH cuMemcpyDtoHAsync_v2;

    /// <summary>Within a device: (to, from, bytes, stream).</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, nint, nuint, nint, int> cuMemcpyDtoDAsync_v2;

    /// <summary>Between two: (to, its context, from, its context, bytes, stream).</summary>
    internal readonly CuMemcpyPeer cuMemcpyPeerAsync;

    /// <summary>Fills device memory: (first, value, bytes, stream).</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, byte, nuint, nint, int> cuMemsetD8Async;

    /// <summary>What another process opens the allocation at an address by.</summary>
    internal readonly delegate* unmanaged[Cdecl]<CUipcMemHandle*, nint, int> cuIpcGetMemHandle;

    /// <summary>Maps it. Within one context the same handle is counted.</summary>
    internal readonly CuIpcOpenMemHandle cuIpcOpenMemHandle_v2;

    /// <summary>Ends the mapping.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuIpcCloseMemHandle;

    /// <summary>
    /// Many copies at once: (to, from, bytes, how many, attributes, from which copy on each holds, how many
    /// attributes, the copy that was refused, stream). The arrays are read before it returns. Null before CUDA 12.8.
    /// </summary>
    internal readonly CuMemcpyBatch cuMemcpyBatchAsync;

    /// <summary>
    /// A descriptor for a range at pages of the host: (descriptor, first, bytes, 1 for a dma-buf, flags). Null before
    /// CUDA 11.7.
    /// </summary>
    internal readonly CuMemGetHandleForAddressRange cuMemGetHandleForAddressRange;

    /// <summary>
    /// Waits until what network cards have written is seen: (of the current context's device, by whom). Null before
    /// CUDA 11.3.
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<int, int, int> cuFlushGPUDirectRDMAWrites;

    /// <summary>
    /// What the driver knows of an address: (how many, <see cref="CUpointer_attribute"/>s, values, address). Of an
    /// address that it does not know it answers 0 with empty values.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__UNIFIED.html
    /// </summary>
    internal readonly CuPointerGetAttributes cuPointerGetAttributes;

    /// <summary>
    /// A queue of work on the current context's device.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<nint*, uint, int> cuStreamCreate;

    /// <summary>0: all of it is done; 600: not yet; else what it failed with.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuStreamQuery;

    /// <summary>What is put on the stream from now on comes after the event: (stream, event, flags).</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, nint, uint, int> cuStreamWaitEvent;

    /// <summary>Ends it; returns at once, and what is on it still runs.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuStreamDestroy_v2;

    /// <summary>
    /// A mark to put on a stream.
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__EVENT.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<nint*, uint, int> cuEventCreate;

    /// <summary>Puts it there: (event, stream), both of one context.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, nint, int> cuEventRecord;

    /// <summary>0: the stream has come to it; 600: not yet; else what the work before it failed with.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuEventQuery;

    /// <summary>Ends it; one that is still to come ends then.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuEventDestroy_v2;

    /// <summary>
    /// Compiles PTX text that ends with a 0: (module, text).
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MODULE.html
    /// </summary>
    internal readonly delegate* unmanaged[Cdecl]<nint*, byte*, int> cuModuleLoadData;

    /// <summary>A kernel by name: (function, module, name).</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint*, nint, byte*, int> cuModuleGetFunction;

    /// <summary>Ends it.</summary>
    internal readonly delegate* unmanaged[Cdecl]<nint, int> cuModuleUnload;

    /// <summary>
    /// Starts a kernel: (function, blocks x y z, threads x y z, shared bytes, stream, pointers to its arguments, null).
    /// https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__EXEC.html
    /// </summary>
    internal readonly CuLaunchKernel cuLaunchKernel;

    /// <summary>Opens the library, or says why not. The library stays loaded for the life of the process.</summary>
    /// <param name="path">The file to open alone, or null for the usual names.</param>
    /// <param name="reason">One line for a person when null is returned, else null.</param>
    /// <param name="without">Symbols to take for missing, as in an older driver.</param>
    internal static CudaLibrary? TryOpen(string? path, out string? reason, params string[] without)
    {
        string[] names = string.IsNullOrEmpty(path) ? Names : [path];
        foreach (string name in names)
        {
            if (!NativeLibrary.TryLoad(name, out nint handle))
                continue;
            var library = new CudaLibrary(handle, name, without);
            reason = library._missing is null
                ? null
                : $"missing symbol {library._missing} in {name}: a driver for CUDA 11 or newer is needed";
            return reason is null ? library : null;
        }

        reason = string.IsNullOrEmpty(path)
            ? $"no library: {Names[0]} cannot be loaded; install the NVIDIA driver or name it in {PathVariable}"
            : $"no library: {path} cannot be loaded";
        return null;
    }

    private void* Needed(string symbol)
    {
        void* found = Optional(symbol);
        if (found is null)
            _missing ??= symbol;
        return found;
    }

    private void* Optional(string symbol) =>
        NativeLibrary.TryGetExport(_library, symbol, out nint address) && !_without.Contains(symbol)
            ? (void*)address
            : null;
}
