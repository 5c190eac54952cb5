// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Values of the caller's native memory, whole and in pieces, right at and beyond their bounds.</summary>
public sealed class PiecesTests : IDisposable
{
    private const byte Guard = 0xEE;
    private const int Value = 100;
    private const int Room = 1 << 20;
    private static readonly MeshKey Key = new("k");
    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(20) };
    private readonly nint _memory = Marshal.AllocHGlobal(Room);

    public void Dispose() => Marshal.FreeHGlobal(_memory);

    [Fact]
    public async Task A_destination_of_99_100_and_128_bytes_and_two_of_64()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        byte[] value = Bytes(Value);
        await client.PutAsync(Key, value);

        Fill();
        Assert.Equal(MeshErrorCode.InvalidArgument, (await client.TryGetAsync(Key, At(0, 99))).Error?.Code);
        Assert.Equal(MeshErrorCode.InvalidArgument, (await client.TryGetIntoAsync(Key, [At(0, 99)])).Error?.Code);
        Assert.Equal(MeshErrorCode.InvalidArgument,
            (await client.TryGetIntoAsync(Key, [At(0, 64), At(64, 35)])).Error?.Code);
        Assert.Equal(MeshErrorCode.InvalidArgument, (await client.TryGetIntoAsync(Key, [])).Error?.Code);
        Assert.False(Read(0, Room).AsSpan().ContainsAnyExcept(Guard));

        foreach (int length in new[] { 100, 128 })
        {
            Fill();
            Assert.Equal(Value, (await client.TryGetIntoAsync(Key, [At(0, length)])).Value);
            Assert.Equal(value, Read(0, Value));
            Assert.False(Read(Value, Room - Value).AsSpan().ContainsAnyExcept(Guard));
        }

        Fill();
        Assert.Equal(Value, (await client.TryGetIntoAsync(Key, [At(1000, 64), At(500, 64)])).Value);
        Assert.Equal(value[..64], Read(1000, 64));
        Assert.Equal(value[64..], Read(500, 36));
        Assert.False(Read(0, 500).AsSpan().ContainsAnyExcept(Guard));
        Assert.False(Read(536, 464).AsSpan().ContainsAnyExcept(Guard));
        Assert.False(Read(1064, Room - 1064).AsSpan().ContainsAnyExcept(Guard));
        Assert.Equal(MeshErrorCode.NotFound,
            (await client.TryGetIntoAsync(new MeshKey("nope"), [At(0, 64), At(64, 64)])).Error?.Code);
    }

    [Theory]
    [InlineData(-1L, 2L, "past the end of the address space")]
    [InlineData(-100L, 101L, "past the end of the address space")]
    [InlineData(4096L, long.MaxValue, null)]
    [InlineData(-4096L, long.MaxValue, "past the end of the address space")]
    [InlineData(0L, 1L, "at address 0")]
    [InlineData(4096L, -1L, "-1 bytes")]
    public async Task Memory_that_cannot_be_is_refused_by_name_and_never_touched(long address, long length, string? why)
    {
        if (why is null)
        {
            // Legal as a range: 2^63 - 1 bytes from there do not wrap. No value is that large, so it is only a place.
            Assert.Null(new NativeRange((nint)address, length).Validate("get", "x"));
            return;
        }

        await using var mesh = await LocalMesh.StartAsync(1, 4 << 20);
        await using var client = await mesh.ClientAsync();
        await client.PutAsync(Key, Bytes(Value));
        Fill();
        var bad = new NativeRange((nint)address, length);
        var options = new PutOptions { Replace = true };
        MeshError?[] errors =
        [
            (await client.TryPutAsync(Key, bad, options)).Error,
            (await client.TryPutAsync(Key, [At(0, 8), bad], options)).Error,
            (await client.TryGetAsync(Key, bad)).Error,
            (await client.TryGetIntoAsync(Key, [At(0, 200), bad])).Error,
        ];
        Assert.All(errors, e => Assert.Equal(MeshErrorCode.InvalidArgument, e?.Code));
        Assert.All(errors, e => Assert.Contains(why, e!.Message, StringComparison.Ordinal));
        Assert.Contains("piece 1", errors[1]!.Message, StringComparison.Ordinal);
        Assert.Equal(Bytes(Value), await client.GetAsync(Key));
        Assert.False(Read(0, Room).AsSpan().ContainsAnyExcept(Guard));
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(500_000)]
    public async Task A_value_is_put_from_pieces_and_got_into_others(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        byte[] value = Bytes(size);
        Marshal.Copy(value, 0, _memory, size);
        int third = size / 3;
        NativeRange[] thirds = [At(0, third), At(third, 0), At(third, third), At(2 * third, size - (2 * third))];
        Assert.Null((await client.TryPutAsync(Key, thirds, Patient)).Error);
        Assert.Equal(value, await client.GetAsync(Key));
        Fill();
        int seventh = size / 7;
        var pieces = Enumerable.Range(0, 7).Select(i => At(i * (seventh + 10), seventh)).Append(At(900_000, 1000));
        Assert.Equal(size, (await client.TryGetIntoAsync(Key, [.. pieces])).Value);
        for (int i = 0; i < 7; i++)
        {
            Assert.Equal(value[(i * seventh)..((i + 1) * seventh)], Read(i * (seventh + 10), seventh));
            Assert.False(Read((i * (seventh + 10)) + seventh, 10).AsSpan().ContainsAnyExcept(Guard));
        }

        int rest = size - (7 * seventh);
        Assert.Equal(value[^rest..], Read(900_000, rest));
        Assert.False(Read(900_000 + rest, 1000 - rest).AsSpan().ContainsAnyExcept(Guard));
        Assert.Equal(MeshErrorCode.InvalidArgument,
            (await client.TryGetIntoAsync(Key, [.. Enumerable.Repeat(At(0, 10), 4097)])).Error?.Code);
    }

    private static byte[] Bytes(int length)
    {
        byte[] value = new byte[length];
        new Random(length).NextBytes(value);
        return value;
    }

    private NativeRange At(int offset, long length) => new(_memory + offset, length);

    private unsafe void Fill() => new Span<byte>((void*)_memory, Room).Fill(Guard);

    private byte[] Read(int offset, int length)
    {
        byte[] bytes = new byte[length];
        Marshal.Copy(_memory + offset, bytes, 0, length);
        return bytes;
    }
}
