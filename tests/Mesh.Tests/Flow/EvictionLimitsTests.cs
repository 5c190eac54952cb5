// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>How much the background frees, and when.</summary>
public sealed class EvictionLimitsTests
{
    private const long Gigabyte = 1L << 30;

    [Theory]
    [InlineData(100 * Gigabyte, Gigabyte, 0)]
    [InlineData(100 * Gigabyte, Gigabyte - 5, 5)]
    [InlineData(400 * Gigabyte, 0, Gigabyte)]
    [InlineData(1000, 9, 1)]
    [InlineData(0, 0, 0)]
    public void A_hundredth_or_a_gibibyte_is_kept_free_by_default(long capacity, long free, long lack) =>
        Assert.Equal(lack, Lack(null, null, capacity, free));

    [Theory]
    [InlineData(0.9, null, 100, 0)]
    [InlineData(0.9, null, 99, 50)]
    [InlineData(0.9, null, 20, 80)]
    [InlineData(0.9, 0.2, 99, 200)]
    [InlineData(null, 0.2, 9, 200)]
    [InlineData(null, 0.2, 10, 0)]
    [InlineData(1.0, 0.2, 0, 0)]
    public void A_watermark_says_when_and_a_ratio_how_much(double? watermark, double? ratio, long free, long lack) =>
        Assert.Equal(lack, Lack(watermark, ratio, 1000, free));

    private static long Lack(double? watermark, double? ratio, long capacity, long free) =>
        new EvictionLimits(watermark, ratio).Lack(new StoreUsage { Capacity = capacity, Free = free });
}
