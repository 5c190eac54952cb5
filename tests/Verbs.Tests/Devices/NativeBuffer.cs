// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Verbs.Tests.Devices;

/// <summary>Page-aligned memory outside the managed heap.</summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private const int Page = 4096;
    private void* _memory;

    internal NativeBuffer(nuint length)
    {
        _memory = NativeMemory.AlignedAlloc(length, Page);
        Length = length;
    }

    internal nuint Length { get; }

    internal nint Address => (nint)_memory;

    internal Span<byte> Bytes => new(_memory, checked((int)Length));

    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }

    /// <summary>Fills it with bytes that tell their place.</summary>
    internal void FillPattern(int seed) => new Random(seed).NextBytes(Bytes);
}
