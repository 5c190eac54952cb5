// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Clients with several network cards.</summary>
public sealed class RailsTests
{
    private static readonly string[] Nine = [.. Enumerable.Range(1, 9).Select(i => $"127.0.0.{i}")];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_large_value_is_got_over_rails_by_a_client_that_has_some()
    {
        await using var mesh = new LocalMesh();
        var node = await mesh.TryAddAsync(
            LocalMesh.Options("n1", 64 << 20) with { Rails = ["127.0.0.2", "127.0.0.3"] });
        Assert.True(node.Succeeded, node.Error?.ToString());
        await mesh.ReadyAsync();
        byte[] value = new byte[(24 << 20) + 5];
        new Random(1).NextBytes(value);
        var options = new MeshClientOptions
        {
            Nodes = [node.Value.Endpoint],
            SameHost = false,
            Rails = ["127.0.0.4", "127.0.0.5"],
        };
        await using var client = await MeshClient.ConnectAsync(options, Cancel);
        var deadline = TimeSpan.FromSeconds(60);
        await client.PutAsync(new MeshKey("k"), value, new PutOptions { Deadline = deadline }, Cancel);
        Assert.Equal(1, node.Value.Status().Counters["data_connections"]);
        Assert.Equal(value, await client.GetAsync(new MeshKey("k"), new GetOptions { Deadline = deadline }, Cancel));
        // Each rail has connections of its own.
        Assert.InRange(node.Value.Status().Counters["data_connections"], 3, 5);
    }

    [Fact]
    public async Task Rails_that_cannot_be_are_refused_by_name()
    {
        var options = new MeshClientOptions { Nodes = ["127.0.0.1:1"] };
        Assert.Equal("rails has 9 addresses; the limit is 8", await ErrorOfAsync(options with { Rails = Nine }));
        Assert.Equal("rails: 'eth0' is no IP address of one network card",
            await ErrorOfAsync(options with { Rails = ["eth0"] }));
        // TEST-NET-1, which no host has.
        Assert.Equal("rails: '192.0.2.1' is no address of this host",
            await ErrorOfAsync(options with { Rails = ["192.0.2.1"] }));
    }

    private static async Task<string> ErrorOfAsync(MeshClientOptions options)
    {
        var connected = await MeshClient.TryConnectAsync(options, Cancel);
        Assert.Equal(MeshErrorCode.InvalidArgument, connected.Error!.Code);
        return connected.Error.Message;
    }
}
