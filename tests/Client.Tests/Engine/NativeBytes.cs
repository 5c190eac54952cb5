// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>Native memory, and bytes that tell where they belong.</summary>
internal sealed unsafe class NativeBytes : IDisposable
{
    private readonly void* _memory;

    public NativeBytes(long length)
    {
        _memory = NativeMemory.AlignedAlloc((nuint)length, 4096);
        Length = length;
        NativeMemory.Clear(_memory, (nuint)length);
    }

    public nint Address => (nint)_memory;

    public long Length { get; }

    public void Dispose() => NativeMemory.AlignedFree(_memory);

    /// <summary>Fills memory with bytes that depend on their place and a seed.</summary>
    public static void Fill(nint address, long length, int seed)
    {
        long words = length / sizeof(ulong);
        for (long i = 0; i < words; i++)
            ((ulong*)address)[i] = WordAt(i, seed);
        for (long i = words * sizeof(ulong); i < length; i++)
            ((byte*)address)[i] = (byte)(i + seed);
    }

    /// <summary>Where memory differs from what <see cref="Fill"/> writes, or -1; exact to 8 bytes.</summary>
    public static long Difference(nint address, long length, int seed)
    {
        long words = length / sizeof(ulong);
        for (long i = 0; i < words; i++)
        {
            if (((ulong*)address)[i] != WordAt(i, seed))
                return i * sizeof(ulong);
        }

        for (long i = words * sizeof(ulong); i < length; i++)
        {
            if (((byte*)address)[i] != (byte)(i + seed))
                return i;
        }

        return -1;
    }

    private static ulong WordAt(long i, int seed) => ((ulong)i + ((ulong)seed << 40)) * 0x9E3779B97F4A7C15;
}
