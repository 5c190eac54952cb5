// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda;

/// <summary>
/// Whether the CUDA driver can be used here. The library is looked for on first use; nothing throws and nothing is
/// written. <c>MCM_LIBCUDA</c> names the library instead of libcuda.so.1. Thread-safe.
/// </summary>
public static class LibCuda
{
    private const int OldestMajor = 11;

    private static readonly Lazy<(CudaLibrary? Library, string? Reason)> Loaded =
        new(() => Load(Environment.GetEnvironmentVariable(CudaLibrary.PathVariable)));

    /// <summary>Whether the driver is there, complete, and has a device.</summary>
    public static bool IsSupported => NotSupportedReason is null;

    /// <summary>
    /// Null when supported, else one line that begins with "no library", "missing symbol" or "no device".
    /// </summary>
    public static string? NotSupportedReason => Loaded.Value.Reason;

    /// <summary>The library, where it has a device; else null with one line why it cannot be used.</summary>
    internal static CudaLibrary? TryGet(out string? reason)
    {
        (CudaLibrary? library, reason) = Loaded.Value;
        return reason is null ? library : null;
    }

    /// <summary>The reason for the library at <paramref name="path"/>; null: the usual names, and supported.</summary>
    internal static string? Probe(string? path) => Load(path).Reason;

    /// <summary>The newest CUDA that the driver knows; null: it does not say.</summary>
    internal static unsafe (int Major, int Minor)? VersionOf(CudaLibrary library)
    {
        int version = 0;
        return library.cuDriverGetVersion(&version) == CUresult.CUDA_SUCCESS
            ? (version / 1000, version % 1000 / 10)
            : null;
    }

    /// <summary>Whether the driver is older than what is needed here.</summary>
    internal static bool IsTooOld(CudaLibrary library) => VersionOf(library) is { Major: < OldestMajor };

    private static (CudaLibrary? Library, string? Reason) Load(string? path)
    {
        CudaLibrary? library = CudaLibrary.TryOpen(path, out string? reason);
        return (library, library is null ? reason : ReasonOf(library));
    }

    private static unsafe string? ReasonOf(CudaLibrary library)
    {
        const string NoGpu = "no device: the CUDA driver sees no GPU";
        int result = library.cuInit(0);
        if (result == CUresult.CUDA_ERROR_NO_DEVICE)
            return NoGpu;
        if (result != CUresult.CUDA_SUCCESS)
            return $"no device: cuInit returned {result}";

        // An older one does not tell all that is asked of an address; who does not know what an address is follows it.
        if (IsTooOld(library) && VersionOf(library) is { } old)
            return $"no device: the driver is one for CUDA {old.Major}.{old.Minor}; {OldestMajor}.0 or newer is needed";

        int count = 0;
        result = library.cuDeviceGetCount(&count);
        if (result != CUresult.CUDA_SUCCESS)
            return $"no device: cuDeviceGetCount returned {result}";
        return count > 0 ? null : NoGpu;
    }
}
