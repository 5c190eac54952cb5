// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Memory of the caller: what a get may write, and what it must leave alone.</summary>
public sealed class DestinationTests
{
    private const byte Guard = 0xEE;
    private static readonly MeshKey Key = new("k");

    [Theory]
    [InlineData(100)]
    [InlineData(70_000)]
    [InlineData(1 << 20)]
    public async Task A_destination_too_small_is_refused_and_the_rest_of_a_larger_one_stays(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        byte[] value = Bytes(size);
        await client.PutAsync(Key, value);
        foreach (int length in new[] { 0, size - 1, size, size + 28 })
        {
            byte[] memory = Guarded(length + 64);
            var got = await client.TryGetAsync(Key, memory.AsMemory(0, length));
            if (length < size)
            {
                Assert.Equal(MeshErrorCode.InvalidArgument, got.Error?.Code);
                Assert.Contains($"{length} bytes", got.Error!.Message, StringComparison.Ordinal);
                Assert.Contains($"{size} bytes", got.Error.Message, StringComparison.Ordinal);
                Assert.False(memory.AsSpan().ContainsAnyExcept(Guard));
            }
            else
            {
                Assert.Equal(size, got.Value);
                Assert.True(value.AsSpan().SequenceEqual(memory.AsSpan(0, size)));
                Assert.False(memory.AsSpan(size).ContainsAnyExcept(Guard));
            }
        }
    }

    [Theory]
    [InlineData(100)]
    [InlineData(300_000)]
    public async Task Native_memory_is_put_and_got_in_place(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        nint memory = Marshal.AllocHGlobal(size + 64);
        try
        {
            byte[] value = Bytes(size);
            Marshal.Copy(value, 0, memory, size);
            Assert.True((await client.TryPutAsync(Key, new NativeRange(memory, size))).Succeeded);
            Marshal.Copy(Guarded(size + 64), 0, memory, size + 64);
            var small = await client.TryGetAsync(Key, new NativeRange(memory, size - 1));
            Assert.Equal(MeshErrorCode.InvalidArgument, small.Error?.Code);
            byte[] after = new byte[size + 64];
            Marshal.Copy(memory, after, 0, after.Length);
            Assert.False(after.AsSpan().ContainsAnyExcept(Guard));
            Assert.Equal(size, (await client.TryGetAsync(Key, new NativeRange(memory, size + 64))).Value);
            Marshal.Copy(memory, after, 0, after.Length);
            Assert.True(value.AsSpan().SequenceEqual(after.AsSpan(0, size)));
            Assert.False(after.AsSpan(size).ContainsAnyExcept(Guard));
        }
        finally
        {
            Marshal.FreeHGlobal(memory);
        }
    }

    [Fact]
    public async Task An_empty_value_needs_no_destination()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 1 << 20);
        await using var client = await mesh.ClientAsync();
        Assert.Equal(1, (await client.PutAsync(Key, ReadOnlyMemory<byte>.Empty)).Replicas);
        Assert.True(await client.ExistsAsync(Key));
        Assert.Empty(await client.GetAsync(Key));
        Assert.Equal(0, (await client.TryGetAsync(Key, Memory<byte>.Empty)).Value);
        Assert.Equal(0, (await client.TryGetAsync(Key, new NativeRange(0, 0))).Value);
    }

    private static byte[] Bytes(int length)
    {
        byte[] value = new byte[length];
        new Random(length).NextBytes(value);
        return value;
    }

    private static byte[] Guarded(int length)
    {
        byte[] memory = new byte[length];
        Array.Fill(memory, Guard);
        return memory;
    }
}
