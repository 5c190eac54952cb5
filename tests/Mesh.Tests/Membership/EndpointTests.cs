// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Membership;

public sealed class EndpointTests
{
    [Theory]
    [InlineData("http://[::1]:2379", "http://[::1]:2379")]
    [InlineData("a:2379,b:2379", "http://a:2379,http://b:2379")]
    [InlineData("a:2379;b:2379", "http://a:2379,http://b:2379")]
    [InlineData(" a:2379 , b:1 ; ", "http://a:2379,http://b:1")]
    [InlineData("127.0.0.1", "http://127.0.0.1:2379")]
    [InlineData("http://127.0.0.1/", "http://127.0.0.1:2379")]
    [InlineData("[::1]", "http://[::1]:2379")]
    [InlineData("::1", "http://[::1]:2379")]
    [InlineData("a:2379,", "http://a:2379")]
    [InlineData("etcd://A.Example:2379", "http://a.example:2379")]
    [InlineData("etcd://http://a:2379", "http://a:2379")]
    [InlineData("https://a,b", "https://a:2379,https://b:2379")]
    [InlineData("a,a:2379", "http://a:2379")]
    [InlineData("0:0:0:0:0:0:0:1", "http://[::1]:2379")]
    public void Etcd_endpoints_are_read_as_people_type_them(string text, string expected)
    {
        var endpoints = EtcdEndpoints.Parse(text);
        Assert.Null(endpoints.Error);
        Assert.Equal(expected, endpoints.Value.ToString());
        Assert.Equal(expected.StartsWith("https", StringComparison.Ordinal), endpoints.Value.Tls);
    }

    [Theory]
    [InlineData("http://a,https://b")]
    [InlineData("unix:///run/etcd.sock")]
    [InlineData("unix:/run/etcd.sock")]
    [InlineData("host:99999")]
    [InlineData("host:0")]
    [InlineData("host:")]
    [InlineData("host:x")]
    [InlineData("http://host:2379/path")]
    [InlineData("ftp://host")]
    [InlineData("user@host")]
    [InlineData("")]
    [InlineData(",;")]
    [InlineData("[::1")]
    [InlineData("[::1]x")]
    [InlineData("[host]:1")]
    [InlineData("256.1.1.1")]
    [InlineData("127.1")]
    [InlineData("1.2.3.4.5")]
    [InlineData("a b")]
    [InlineData("a..b")]
    public void Wrong_etcd_endpoints_are_refused_with_their_text(string text)
    {
        var error = EtcdEndpoints.Parse(text).Error;
        Assert.NotNull(error);
        Assert.Equal(MeshErrorCode.InvalidArgument, error.Code);
        Assert.Equal("config:etcd", error.Stage);
        Assert.Contains($"'{text}'", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData("[::1]:0", "[::1]:0", false, true)]
    [InlineData("::1", "[::1]:0", false, true)]
    [InlineData("[::1]", "[::1]:0", false, true)]
    [InlineData("localhost:0", "localhost:0", false, true)]
    [InlineData("Node-7.Example.", "node-7.example:0", false, false)]
    [InlineData("0.0.0.0:7000", "0.0.0.0:7000", true, false)]
    [InlineData("[::]:7000", "[::]:7000", true, false)]
    [InlineData("::", "[::]:0", true, false)]
    [InlineData("fe80::1%lo", "[fe80::1%lo]:0", false, false)]
    [InlineData("[FE80:0::1%lo]:7000", "[fe80::1%lo]:7000", false, false)]
    [InlineData("10.0.0.1:65535", "10.0.0.1:65535", false, false)]
    [InlineData("127.9.9.9:1", "127.9.9.9:1", false, true)]
    public void Peer_endpoints_are_shown_in_canonical_form(string text, string expected, bool wildcard, bool loopback)
    {
        var endpoint = PeerEndpoint.Parse("listen", text);
        Assert.Null(endpoint.Error);
        Assert.Equal(expected, endpoint.Value.ToString());
        Assert.Equal(wildcard, endpoint.Value.IsWildcard);
        Assert.Equal(loopback, endpoint.Value.IsLoopback);
        Assert.Equal(endpoint.Value, PeerEndpoint.Parse("listen", endpoint.Value.ToString()).Value);
    }

    [Theory]
    [InlineData("host:99999")]
    [InlineData("http://x")]
    [InlineData("")]
    [InlineData("host:-1")]
    [InlineData("host: 1")]
    [InlineData("fe80::1%")]
    [InlineData("a:b:c")]
    [InlineData("x/y")]
    [InlineData("-a")]
    public void Wrong_peer_endpoints_are_refused_with_setting_and_text(string text)
    {
        var error = PeerEndpoint.Parse("advertise", text).Error;
        Assert.NotNull(error);
        Assert.Equal("config:advertise", error.Stage);
        Assert.Contains($"advertise '{text}'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Etcd_options_report_every_error()
    {
        Assert.Empty(new EtcdRegistryOptions().Validate());
        var errors = new EtcdRegistryOptions
        {
            Endpoints = "a,b",
            Cluster = "a/b",
            CaFile = "/ca.pem",
            CertificateFile = "/c.pem",
            Password = "p",
            CallDeadline = TimeSpan.Zero,
        }.Validate();
        Assert.Equal(5, errors.Count);
    }
}
