// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>Takes bytes, and looks that they come in order.</summary>
internal sealed class TakenBytes(int length, int stopAt = int.MaxValue, Action<long>? onTake = null) : IChunkSink
{
    private int _taken;

    internal byte[] Bytes { get; } = new byte[length];

    internal int Taken => _taken;

    public bool Take(ReadOnlySpan<byte> bytes, long offset)
    {
        Assert.Equal(_taken, offset);
        Assert.NotEqual(0, bytes.Length);
        onTake?.Invoke(offset);
        bytes.CopyTo(Bytes.AsSpan((int)offset));
        _taken += bytes.Length;
        return _taken < stopAt;
    }
}

/// <summary>Gives bytes, and looks that they are asked for in order.</summary>
internal sealed class GivenBytes(byte[] bytes, int stopAt = int.MaxValue, Action<long>? onFill = null) : IChunkSource
{
    private int _given;

    internal int Given => _given;

    public bool Fill(Span<byte> to, long offset)
    {
        Assert.Equal(_given, offset);
        Assert.NotEqual(0, to.Length);
        onFill?.Invoke(offset);
        bytes.AsSpan((int)offset, to.Length).CopyTo(to);
        _given += to.Length;
        return _given < stopAt;
    }
}

/// <summary>Bytes of a test, and what is done with them most.</summary>
internal static class Bytes
{
    internal static readonly TimeSpan Long = TimeSpan.FromSeconds(30);

    internal static byte[] Mixed(int length, int seed = 1)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    internal static IDeviceBlock Block(this IDeviceMemory memory, long length, string location = "cuda:0")
    {
        MeshResult<IDeviceBlock> block = memory.Allocate(location, length);
        Assert.True(block.Succeeded, block.Error?.Message);
        return block.Value;
    }

    internal static DeviceRange All(this IDeviceBlock block) => new(block.Address, block.Length);

    internal static void Is(DeviceEnd end, DeviceOutcome outcome) =>
        Assert.True(end == outcome.End, $"{outcome.End}: {outcome.Error}");
}
