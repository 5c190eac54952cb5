// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;

namespace Mooncake.Mesh.Exports.Native;

/// <summary>Results in memory of malloc, which the host frees by mooncake_mesh_free.</summary>
internal static unsafe class NewMemory
{
    /// <summary>Memory for a value and a NUL after it; 0: there is none.</summary>
    public static nint Allocate(long size)
    {
        byte* memory = size < 0 || size == long.MaxValue ? null : (byte*)LibC.malloc((nuint)size + 1);
        if (memory is not null)
            memory[size] = 0;
        return (nint)memory;
    }

    /// <summary>Frees it.</summary>
    public static void Free(nint memory) => LibC.free((void*)memory);

    /// <summary>Checks the places of a result, and makes it empty.</summary>
    public static void Clear(void** data, nuint* size)
    {
        Given.Out(data, "the place of the result");
        Given.Out(size, "the place of the size");
        *data = null;
        *size = 0;
    }

    /// <summary>Hands a copy over; its size.</summary>
    public static long Give(ReadOnlySpan<byte> bytes, void** data, nuint* size)
    {
        nint memory = Allocate(bytes.Length);
        if (memory == 0)
            return Door.Fail(ErrorCodes.Internal, $"no memory of {bytes.Length} bytes for the result");
        bytes.CopyTo(new Span<byte>((void*)memory, bytes.Length));
        *data = (void*)memory;
        *size = (nuint)bytes.Length;
        return bytes.Length;
    }
}
