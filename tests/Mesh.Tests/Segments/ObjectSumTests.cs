// SPDX-License-Identifier: Apache-2.0

using System.IO.Hashing;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Tests.Segments;

public sealed class ObjectSumTests
{
    private const long KiB = 1 << 10;
    private const long GiB = 1 << 30;

    [Theory]
    [InlineData(0, 64 * KiB, 1)]
    [InlineData(1, 64 * KiB, 1)]
    [InlineData(64 * KiB, 64 * KiB, 1)]
    [InlineData((64 * KiB) + 1, 64 * KiB, 2)]
    [InlineData(GiB, 64 * KiB, 16384)]
    [InlineData(GiB + 1, 128 * KiB, 8193)]
    [InlineData(4096 * GiB, 256 * KiB * KiB, 16384)]
    public void Slices_double_rather_than_being_too_many(long size, long slice, int count)
    {
        Assert.Equal(slice, ObjectSum.SliceBytes(size));
        Assert.Equal(count, ObjectSum.SliceCount(size));
    }

    [Fact]
    public void One_slice_has_the_sum_of_its_bytes() =>
        Assert.Equal(XxHash3.HashToUInt64("abc"u8), SumOf("abc"u8.ToArray()));

    [Fact]
    public void More_slices_are_summed_over_their_sums_with_the_size_as_seed()
    {
        byte[] value = new byte[(3 * 64 * KiB) + 5];
        new Random(3).NextBytes(value);
        ulong[] sums = [.. value.Chunk(64 << 10).Select(slice => XxHash3.HashToUInt64(slice))];
        Assert.Equal(4, sums.Length);
        Assert.Equal(XxHash3.HashToUInt64(MemoryMarshal.AsBytes(sums.AsSpan()), value.Length), SumOf(value));

        value[^1] ^= 1;
        Assert.NotEqual(ObjectSum.Combine(sums, value.Length), SumOf(value));
    }

    [Fact]
    public void Objects_of_zeros_of_different_sizes_have_different_sums() =>
        Assert.NotEqual(SumOf(new byte[128 << 10]), SumOf(new byte[(128 << 10) + 1]));

    [Fact]
    public void A_run_of_slices_starts_and_ends_at_slices()
    {
        var last = new SliceSums(200_000, 131_072, 200_000 - 131_072);
        Assert.Equal((2, 2), (last.First, last.Values.Length));
        Assert.Equal(200_000 - (3 * 65_536), last.LengthOf(1));
        Assert.Throws<ArgumentException>(() => new SliceSums(200_000, 1, 65_536));
        Assert.Throws<ArgumentException>(() => new SliceSums(200_000, 65_536, 100));
    }

    private static unsafe ulong SumOf(byte[] value)
    {
        using var memory = new GuardedMemory(value.Length);
        value.CopyTo(memory.Bytes);
        return ObjectSum.Of((byte*)memory.Range.Address, value.Length);
    }
}
