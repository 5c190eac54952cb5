// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Addresses as people type them, up to a put and a get through them.</summary>
public sealed class AddressTests
{
    private const string Any = "any address of this host";
    private const string Loopback = "a loopback address";
    private const string Routable = "an address other hosts reach";
    private static readonly string HostName = Dns.GetHostName();

    public static TheoryData<string, string?, string> Legal { get; } = new()
    {
        { "127.0.0.1:0", null, "127.0.0.1" },
        { "127.0.0.1", null, "127.0.0.1" },
        { "[::1]:0", null, "[::1]" },
        { "::1", null, "[::1]" },
        { "0:0:0:0:0:0:0:1", null, "[::1]" },
        { "localhost:0", null, Loopback },
        { " LocalHost. ", null, Loopback },
        { "0.0.0.0:0", null, Routable },
        { "[::]:0", null, Routable },
        { "0.0.0.0:0", "localhost", "localhost" },
        { "0.0.0.0:0", "127.0.0.1:0", "127.0.0.1" },
        { "[::]:0", "::1", "[::1]" },
        { "[::]:0", "127.0.0.1", "127.0.0.1" },
        { HostName + ":0", null, Any },
        { "127.0.0.1:0", HostName, HostName.ToLowerInvariant() },
    };

    [Theory]
    [MemberData(nameof(Legal))]
    public async Task A_legal_address_serves_puts_and_gets_and_is_shown_in_canonical_form(string listen,
        string? advertise, string shown)
    {
        Assert.SkipWhen(listen.Contains("::", StringComparison.Ordinal) && !Socket.OSSupportsIPv6, "no IPv6 here");
        await using var mesh = new LocalMesh();
        var first = await mesh.TryAddAsync(Options("n1", listen, advertise));
        Assert.True(first.Succeeded, first.Error?.ToString());
        var second = await mesh.TryAddAsync(Options("n2", listen, advertise));
        Assert.True(second.Succeeded, second.Error?.ToString());
        await mesh.ReadyAsync();
        foreach (var node in mesh.Nodes)
        {
            var endpoint = PeerEndpoint.Parse("endpoint", node.Endpoint).Value;
            Assert.Equal(endpoint.ToString(), node.Endpoint);
            Assert.NotEqual(0, endpoint.Port);
            Assert.False(endpoint.IsWildcard);
            Assert.Equal(node.Endpoint, node.View.Find(node.NodeId)!.Endpoints[0]);
            if (shown is Loopback or Routable)
                Assert.Equal(shown == Loopback, endpoint.IsLoopback);
            else if (shown != Any)
                Assert.Equal($"{shown}:{endpoint.Port}", node.Endpoint);
        }

        await using var client = await mesh.ClientAsync(0);
        await using var other = await mesh.ClientAsync(1);
        foreach (int size in new[] { 0, 100, 300_000 })
        {
            var put = new PutOptions { Placement = Placement.Preferred, PreferredNode = "n2" };
            byte[] value = new byte[size];
            Random.Shared.NextBytes(value);
            Assert.Equal(1, (await client.PutAsync(new MeshKey($"{size}"), value, put)).Replicas);
            Assert.Equal(value, await other.GetAsync(new MeshKey($"{size}")));
            Assert.Equal(value, await MeshClient.For(mesh.Nodes[0]).GetAsync(new MeshKey($"{size}")));
        }
    }

    [Theory]
    [InlineData("host:99999", null, "listen")]
    [InlineData("http://x", null, "listen")]
    [InlineData("", null, "listen")]
    [InlineData("127.0.0.1:x", null, "listen")]
    [InlineData("127.0.0.1:-1", null, "listen")]
    [InlineData("127.1", null, "listen")]
    [InlineData("[::1", null, "listen")]
    [InlineData("::1:%", null, "listen")]
    [InlineData("0.0.0.0:7000", null, "listen")]
    [InlineData("[::]:7000", null, "listen")]
    [InlineData("192.0.2.1:7000", null, "listen")]
    [InlineData("fe80::1%lo", null, "listen")]
    [InlineData("node.example:7000", null, "listen")]
    [InlineData("127.0.0.1:0", "0.0.0.0:7000", "advertise")]
    [InlineData("127.0.0.1:0", "[::]:7000", "advertise")]
    [InlineData("127.0.0.1:0", "::", "advertise")]
    [InlineData("127.0.0.1:0", "::ffff:0.0.0.0", "advertise")]
    [InlineData("127.0.0.1:0", "host:99999", "advertise")]
    [InlineData("127.0.0.1:0", "http://x", "advertise")]
    [InlineData("127.0.0.1:0", "", "advertise")]
    public async Task An_illegal_address_is_refused_naming_text_and_setting(string listen, string? advertise,
        string setting)
    {
        await using var mesh = new LocalMesh();
        var options = LocalMesh.Options("n1", 1 << 20) with { Listen = listen, Advertise = advertise };
        Assert.NotEmpty(options.Validate());
        var refused = await mesh.TryAddAsync(options);
        Assert.False(refused.Succeeded);
        Assert.Equal("config:" + setting, refused.Error!.Stage);
        Assert.Contains(setting, refused.Error.Message, StringComparison.Ordinal);
        Assert.Contains($"'{(setting == "listen" ? listen : advertise)}'", refused.Error.Message,
            StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Error.Message);
        Assert.Empty(mesh.Registry.Read().Entries);
    }

    [Theory]
    [InlineData("192.0.2.254:0")]
    [InlineData("no-such-host.invalid:0")]
    [InlineData("fe80::dead%lo")]
    public async Task An_address_that_is_not_this_hosts_is_refused_naming_text_and_setting(string listen)
    {
        await using var mesh = new LocalMesh();
        var refused = await mesh.TryAddAsync(Options("n1", listen, null));
        Assert.False(refused.Succeeded);
        Assert.Equal("config:listen", refused.Error!.Stage);
        Assert.Contains("listen", refused.Error.Message, StringComparison.Ordinal);
        Assert.Contains(listen, refused.Error.Message, StringComparison.Ordinal);
        Assert.Empty(mesh.Registry.Read().Entries);
    }

    [Fact]
    public async Task A_port_in_use_is_refused_naming_it()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 1 << 20);
        var refused = await mesh.TryAddAsync(Options("n2", mesh.Nodes[0].Endpoint, null));
        Assert.Equal("config:listen", refused.Error?.Stage);
        Assert.Contains(mesh.Nodes[0].Endpoint, refused.Error!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("host:99999")]
    [InlineData("http://x")]
    [InlineData("[::1")]
    [InlineData("")]
    public async Task A_client_refuses_an_illegal_node_address_at_once(string node)
    {
        var refused = await MeshClient.TryConnectAsync(new MeshClientOptions { Nodes = [node] });
        Assert.Equal(MeshErrorCode.InvalidArgument, refused.Error?.Code);
        Assert.Equal("config:node", refused.Error!.Stage);
        Assert.Contains($"'{node}'", refused.Error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://a,https://b")]
    [InlineData("a:99999")]
    [InlineData("unix:///run/etcd.sock")]
    [InlineData(",;")]
    public async Task A_client_refuses_illegal_etcd_endpoints_at_once(string etcd)
    {
        var refused = await MeshClient.TryConnectAsync(new MeshClientOptions { Etcd = etcd });
        Assert.Equal(MeshErrorCode.InvalidArgument, refused.Error?.Code);
        Assert.Equal("config:etcd", refused.Error!.Stage);
        Assert.Contains($"'{etcd}'", refused.Error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_client_told_of_nobody_says_so()
    {
        var refused = await MeshClient.TryConnectAsync(new MeshClientOptions());
        Assert.Equal(MeshErrorCode.InvalidArgument, refused.Error?.Code);
        Assert.Equal("config:nodes", refused.Error!.Stage);
    }

    private static MeshNodeOptions Options(string nodeId, string listen, string? advertise) =>
        LocalMesh.Options(nodeId, 4 << 20) with { Listen = listen, Advertise = advertise, Insecure = true };
}
