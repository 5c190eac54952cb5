// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Sums of slices whose bytes come in chunks of any length.</summary>
public sealed class RunningSumsTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(63)]
    [InlineData(65_535)]
    [InlineData(65_536)]
    [InlineData(98_344)]
    [InlineData(1 << 20)]
    public unsafe void Are_those_of_the_whole_however_it_is_cut(int chunk)
    {
        foreach (int size in (int[])[1, 65_536, 65_537, 300_000])
        {
            byte[] value = DeviceWorld.Value(size);
            var whole = new SliceSums(size);
            fixed (byte* bytes = value)
                whole.Take(bytes);
            var sums = new SliceSums(size);
            var running = new RunningSums(sums);
            for (int at = 0; at < size; at += chunk)
                running.Add(value.AsSpan(at, Math.Min(chunk, size - at)));
            Assert.Equal(whole.Values, sums.Values);
            Assert.Equal(whole.Checksum, sums.Checksum);
        }
    }

    [Fact]
    public unsafe void Of_no_bytes_are_those_of_an_empty_object()
    {
        var sums = new SliceSums(0);
        RunningSums.Empty(sums);
        Assert.Equal(ObjectSum.Of(null, 0), sums.Checksum);
    }
}
