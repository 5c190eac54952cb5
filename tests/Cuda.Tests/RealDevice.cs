// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Diagnostics;
using Mooncake.Mesh.Cuda.Devices;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>The first GPU of this host, and plain copies on it to compare with.</summary>
internal sealed unsafe class RealDevice : IDisposable
{
    private readonly CudaLibrary _library;
    private readonly CudaContext _context;

    internal RealDevice(params string[] without)
    {
        Assert.SkipWhen(LibCuda.NotSupportedReason is not null, $"no GPU to run on: {LibCuda.NotSupportedReason}");
        _library = CudaLibrary.TryOpen(Environment.GetEnvironmentVariable(CudaLibrary.PathVariable), out _, without)!;
        Memory = CudaMemory.Open(_library, TimeProvider.System).Value;
        int native;
        Assert.Equal(0, _library.cuDeviceGet(&native, 0));
        _context = CudaContext.Retain(_library, native, new DeviceLoss());
    }

    internal CudaMemory Memory { get; }

    /// <summary>The card's name, as figures are given with it.</summary>
    internal string Name => Memory.Devices[0].Name;

    /// <summary>Whether the kernel loads there.</summary>
    internal bool HasKernel
    {
        get
        {
            using ContextScope scope = _context.Enter();
            using var kernel = Copies.PieceKernel.TryLoad(_context);
            return kernel is not null;
        }
    }

    /// <summary>Bytes a second of one plain copy between a block and pinned memory: best of several.</summary>
    internal double PlainRate(IDeviceBlock block, int length, bool isRead)
    {
        using ContextScope scope = _context.Enter();
        using CudaHandle stream = CudaHandle.Stream(_context);
        using CudaHandle pinned = CudaHandle.Pinned(_context, length);
        return BestRate(length, () =>
        {
            int result = isRead
                ? _library.cuMemcpyDtoHAsync_v2((void*)pinned.Native, block.Address, (nuint)length, stream.Native)
                : _library.cuMemcpyHtoDAsync_v2(block.Address, (void*)pinned.Native, (nuint)length, stream.Native);
            Assert.Equal(0, result);
            Finish(stream);
        });
    }

    /// <summary>Bytes a second of one plain copy between blocks.</summary>
    internal double PlainRate(IDeviceBlock from, IDeviceBlock to, int length)
    {
        using ContextScope scope = _context.Enter();
        using CudaHandle stream = CudaHandle.Stream(_context);
        return BestRate(length, () =>
        {
            Assert.Equal(0, _library.cuMemcpyDtoDAsync_v2(to.Address, from.Address, (nuint)length, stream.Native));
            Finish(stream);
        });
    }

    /// <summary>Bytes a second of what copies so many: best of several.</summary>
    internal static double BestRate(long length, Action copy)
    {
        double best = 0;
        for (int i = 0; i < 7; i++)
        {
            var clock = Stopwatch.StartNew();
            copy();
            best = Math.Max(best, length / clock.Elapsed.TotalSeconds);
        }

        return best;
    }

    public void Dispose()
    {
        Memory.Dispose();
        _context.Dispose();
    }

    private void Finish(CudaHandle stream)
    {
        int result;
        while ((result = _library.cuStreamQuery(stream.Native)) == CUresult.CUDA_ERROR_NOT_READY)
            Thread.SpinWait(20);
        Assert.Equal(0, result);
    }
}

/// <summary>Bytes that are known by their place, so that no copy of them is kept.</summary>
internal sealed class PlacedBytes(ulong seed) : IChunkSource, IChunkSink
{
    /// <summary>Whether all that was taken was as it was given.</summary>
    internal bool IsSame { get; private set; } = true;

    public bool Fill(Span<byte> bytes, long offset)
    {
        for (int i = 0; i < bytes.Length; i += 8)
            Write(bytes[i..], offset + i);
        return true;
    }

    public bool Take(ReadOnlySpan<byte> bytes, long offset)
    {
        Span<byte> word = stackalloc byte[8];
        for (int i = 0; i < bytes.Length; i += 8)
        {
            Write(word, offset + i);
            int length = Math.Min(8, bytes.Length - i);
            IsSame &= bytes.Slice(i, length).SequenceEqual(word[..length]);
        }

        return IsSame;
    }

    private void Write(Span<byte> to, long offset)
    {
        Span<byte> word = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(word, ((ulong)offset + seed) * 0x9E3779B97F4A7C15);
        word[..Math.Min(8, to.Length)].CopyTo(to);
    }
}
