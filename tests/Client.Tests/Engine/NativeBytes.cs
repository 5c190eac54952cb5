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
        byte* at = (byte*)address;
        for (long i = 0; i < length; i++)
            at[i] = ByteAt(i, seed);
    }

    /// <summary>Where memory differs from what <see cref="Fill"/> writes, or -1.</summary>
    public static long Difference(nint address, long length, int seed)
    {
        byte* at = (byte*)address;
        for (long i = 0; i < length; i++)
        {
            if (at[i] != ByteAt(i, seed))
                return i;
        }

        return -1;
    }

    private static byte ByteAt(long i, int seed) => (byte)((i * 31) + (i >> 8) + (i >> 19) + (seed * 97));
}
