// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>What the driver knows of an address.</summary>
/// <param name="IsDevice">Whether it is memory of a device. What moves by itself counts as the host's.</param>
/// <param name="Device">The device's number.</param>
/// <param name="Start">First byte of the allocation, or of the address range that it is mapped into.</param>
/// <param name="Size">Length of that in bytes; 0: not known.</param>
/// <param name="IsPlain">Whether all of that is memory, and not only addresses set aside.</param>
internal readonly record struct PointerFacts(bool IsDevice, int Device, ulong Start, ulong Size, bool IsPlain)
{
    private const int Asked = 6;

    /// <summary>Asks the driver; what it does not know is no memory of a device.</summary>
    /// <param name="library">The driver.</param>
    /// <param name="address">The address.</param>
    /// <param name="result">What the call answered.</param>
    internal static unsafe PointerFacts Of(CudaLibrary library, nint address, out int result)
    {
        int* attributes = stackalloc int[Asked]
        {
            CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
            CUpointer_attribute.CU_POINTER_ATTRIBUTE_IS_MANAGED,
            CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
            CUpointer_attribute.CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE,
            CUpointer_attribute.CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
            CUpointer_attribute.CU_POINTER_ATTRIBUTE_RANGE_SIZE,
        };
        // Some answers have four bytes, some one and some eight: each gets a word of its own, zeroed.
        ulong* values = stackalloc ulong[Asked];
        void** places = stackalloc void*[Asked];
        for (int i = 0; i < Asked; i++)
        {
            values[i] = 0;
            places[i] = values + i;
        }

        result = library.cuPointerGetAttributes(Asked, attributes, places, address);
        if (result != CUresult.CUDA_SUCCESS)
            return default;
        bool isDevice = values[0] == CUmemorytype.CU_MEMORYTYPE_DEVICE && values[1] == 0;
        return new PointerFacts(isDevice, (int)values[2], values[4], values[5], values[3] != 0);
    }
}
