// SPDX-License-Identifier: Apache-2.0
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests;

public sealed class FixedLog2Tests
{
    [Fact]
    public void Agrees_with_the_mathematical_logarithm()
    {
        var random = new Random(1);
        for (int i = 0; i < 10_000; i++)
        {
            ulong h = (ulong)random.NextInt64(1, long.MaxValue) >> random.Next(40);
            double expected = 64 - Math.Log2(Math.Max(1, h));
            double actual = FixedLog2.NegLog2(h) / (double)(1ul << 40);
            Assert.InRange(actual, expected - 1e-6, expected + 1e-6);
        }
    }
}
