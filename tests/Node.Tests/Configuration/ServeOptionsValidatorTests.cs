// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Tests.Configuration;

public sealed class ServeOptionsValidatorTests
{
    private const long Memory = 1L << 30;

    private static readonly ServeOptions Good = new()
    {
        NodeId = "n1",
        Etcd = new EtcdOptions { Endpoints = "127.0.0.1:2379" },
    };

    [Fact]
    public void Defaults_with_etcd_are_good() => Assert.Empty(Validate(Good));

    [Theory]
    [InlineData("127.0.0.1:0")]
    [InlineData("127.8.9.10:7300")]
    [InlineData("[::1]:7300")]
    [InlineData("localhost:7300")]
    public void Loopback_needs_no_leave(string listen) => Assert.Empty(Validate(Good with { Listen = listen }));

    [Theory]
    [InlineData("ssd", 2, 60, "tiers.place: 'ssd' is none of dram, vram, any")]
    [InlineData("1", 2, 60, "tiers.place: '1' is none of dram, vram, any")]
    [InlineData("VRAM", 256, 60, "tiers.promoteAfter is 256; 0 to 255 are legal")]
    [InlineData("any", 0, 3601, "tiers.promoteWithin is 3601 s; above 0 s to 3600 s are legal")]
    public void Tiers_that_cannot_be_are_refused_by_name(string place, int after, int within, string error) =>
        Assert.Equal(error, Assert.Single(Validate(Good with
        {
            Tiers = new TierSettings
            {
                Place = place, PromoteAfter = after, PromoteWithin = TimeSpan.FromSeconds(within),
            },
        })));

    [Theory]
    [InlineData("10.0.0.1:7300")]
    [InlineData("host7:7300")]
    [InlineData("[fe80::1]:7300")]
    public void Other_addresses_need_insecure_and_the_error_names_it(string listen)
    {
        string error = Assert.Single(Validate(Good with { Listen = listen }));
        Assert.StartsWith("listen: ", error);
        Assert.Contains("insecure: true", error);
        Assert.Empty(Validate(Good with { Listen = listen, Insecure = true }));
    }

    [Fact]
    public void Every_address_needs_one_to_advertise()
    {
        ServeOptions options = Good with { Listen = "0.0.0.0:7300", Insecure = true };
        Assert.StartsWith("advertise: ", Assert.Single(Validate(options)));
        Assert.StartsWith("advertise: ", Assert.Single(Validate(options with { Advertise = "[::]:7300" })));
        Assert.Empty(Validate(options with { Advertise = "10.0.0.1:7300" }));
    }

    [Theory]
    [InlineData("rails has 9 addresses; the limit is 8", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4",
        "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9")]
    [InlineData("rails: 'eth0' is no IP address of one network card", "127.0.0.1", "eth0")]
    [InlineData("rails: '0.0.0.0' is no IP address of one network card", "0.0.0.0")]
    [InlineData("rails: '127.1' is no IP address of one network card", "127.1")]
    [InlineData("rails: '127.0.0.1:7300' is no IP address of one network card", "127.0.0.1:7300")]
    [InlineData("rails: '127.0.0.2' is named twice", "127.0.0.2", "::1", "127.0.0.2")]
    public void Rails_that_cannot_be_are_refused_by_name(string error, params string[] rails) =>
        Assert.Equal(error, Assert.Single(Validate(Good with { Rails = rails })));

    [Fact]
    public void Rails_beyond_loopback_need_a_secret_or_insecure()
    {
        ServeOptions options = Good with { Rails = ["10.0.0.7", "127.0.0.2"] };
        Assert.StartsWith("rails: '10.0.0.7' is beyond loopback", Assert.Single(Validate(options)));
        Assert.Empty(Validate(options with { Insecure = true }));
    }

    [Fact]
    public void The_admin_port_stays_on_loopback_even_when_insecure() =>
        Assert.StartsWith("admin: ", Assert.Single(Validate(Good with { Admin = "0.0.0.0:9300", Insecure = true })));

    [Fact]
    public void Segments_larger_than_memory_name_both_sizes() =>
        Assert.Equal("segments: 1.5 GiB asked for, this host has 1 GiB",
            Assert.Single(Validate(Good with { Segments = [new SegmentSetting { Size = 3L << 29 }] })));

    [Fact]
    public void Every_error_is_returned()
    {
        IReadOnlyList<string> errors = Validate(Good with
        {
            Listen = "10.0.0.1:7300",
            LogLevel = "loud",
            EvictionRatio = 2,
            Etcd = new EtcdOptions(),
        });
        Assert.Equal(["etcd.endpoints", "eviction_ratio", "listen", "logLevel"],
            errors.Select(error => error.Split(':')[0]).Order());
    }

    private static IReadOnlyList<string> Validate(ServeOptions options) =>
        [.. ServeOptionsValidator.Validate(options, Memory).Select(error => error.Message)];
}
