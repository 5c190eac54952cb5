// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda;

/// <summary>A call of the driver that failed: the one place that turns its numbers into words.</summary>
internal sealed class CudaException : Exception
{
    private CudaException(int result, string call, string message)
        : base(message)
    {
        Result = result;
        Call = call;
    }

    /// <summary>The raw CUresult.</summary>
    public int Result { get; }

    /// <summary>The native call that failed.</summary>
    public string Call { get; }

    /// <summary>Throws when a call has failed.</summary>
    /// <param name="library">Knows the names of the numbers.</param>
    /// <param name="result">What the call answered.</param>
    /// <param name="call">The native call.</param>
    internal static void ThrowIfFailed(CudaLibrary library, int result, string call)
    {
        if (result != CUresult.CUDA_SUCCESS)
            throw Of(library, result, call);
    }

    /// <summary>The failure of a call.</summary>
    internal static CudaException Of(CudaLibrary library, int result, string call) =>
        new(result, call, $"{call}: {Describe(library, result)}");

    /// <summary>A number with the driver's name for it: "CUDA_ERROR_INVALID_VALUE (1)".</summary>
    internal static unsafe string Describe(CudaLibrary library, int result)
    {
        byte* name = null;
        bool named = library.cuGetErrorName(result, &name) == CUresult.CUDA_SUCCESS && name is not null;
        return named ? $"{Marshal.PtrToStringUTF8((nint)name)} ({result})" : $"result {result}";
    }
}
