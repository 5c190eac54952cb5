// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda;

/// <summary>
/// Whether the CUDA driver can be used here. The library is looked for on first use; nothing throws and nothing is
/// written. <c>MCM_LIBCUDA</c> names the library instead of libcuda.so.1. Thread-safe.
/// </summary>
public static class LibCuda
{
    private const int NoDevice = 100;

    private static readonly Lazy<string?> Reason =
        new(() => Probe(Environment.GetEnvironmentVariable(CudaLibrary.PathVariable)));

    /// <summary>Whether the driver is there, complete, and has a device.</summary>
    public static bool IsSupported => Reason.Value is null;

    /// <summary>
    /// Null when supported, else one line that begins with "no library", "missing symbol" or "no device".
    /// </summary>
    public static string? NotSupportedReason => Reason.Value;

    /// <summary>The reason for the library at <paramref name="path"/>; null: the usual names, and supported.</summary>
    internal static unsafe string? Probe(string? path)
    {
        CudaLibrary? library = CudaLibrary.TryOpen(path, out string? reason);
        if (library is null)
            return reason;

        int result = library.cuInit(0);
        if (result == NoDevice)
            return "no device: the CUDA driver sees no GPU";
        if (result != 0)
            return $"no device: cuInit returned {result}";

        int count = 0;
        result = library.cuDeviceGetCount(&count);
        if (result != 0)
            return $"no device: cuDeviceGetCount returned {result}";
        return count > 0 ? null : "no device: the CUDA driver sees no GPU";
    }
}
