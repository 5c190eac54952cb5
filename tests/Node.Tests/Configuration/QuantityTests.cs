// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Tests.Configuration;

public sealed class QuantityTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("4096", 4096)]
    [InlineData("4KiB", 4096)]
    [InlineData("64MiB", 64L << 20)]
    [InlineData("64 mib", 64L << 20)]
    [InlineData("1.5GiB", 3L << 29)]
    [InlineData("2TiB", 2L << 40)]
    public void Sizes(string text, long bytes) => Assert.Equal(bytes, Quantity.Size(text));

    [Theory]
    [InlineData("")]
    [InlineData("MiB")]
    [InlineData("-1")]
    [InlineData("64MB")]
    [InlineData("1.5")]
    [InlineData("99999999TiB")]
    public void What_is_no_size(string text) =>
        Assert.Equal($"'{text}' is no size; write 64MiB, 1GiB or plain bytes",
            Assert.Throws<FormatException>(() => Quantity.Size(text)).Message);

    [Theory]
    [InlineData("500ms", 500)]
    [InlineData("5s", 5_000)]
    [InlineData("1.5s", 1_500)]
    [InlineData("2m", 120_000)]
    [InlineData("1h", 3_600_000)]
    public void Durations(string text, int milliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), Quantity.Duration(text));

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("-5s")]
    [InlineData("5 weeks")]
    public void What_is_no_duration(string text) =>
        Assert.Equal($"'{text}' is no duration; write 5s, 500ms, 2m or 1h",
            Assert.Throws<FormatException>(() => Quantity.Duration(text)).Message);

    [Fact]
    public void Sizes_are_shown_short() => Assert.Equal("1.5 GiB", Quantity.Text(3L << 29));
}
