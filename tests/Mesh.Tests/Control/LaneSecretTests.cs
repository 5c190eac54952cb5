// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>Each way into a node that has a secret: shut for those who do not know it.</summary>
public sealed class LaneSecretTests : IAsyncLifetime
{
    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-lanes-").FullName;
    private readonly MeshRuntime _runtime = new() { Network = new SocketNetwork() };
    private MeshNode _node = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        var registry = new EmbeddedRegistry(new EmbeddedRegistryStore(TimeProvider.System, RandomSource.System),
            _runtime);
        _node = (await MeshNode.StartAsync(new MeshNodeOptions
        {
            NodeId = "n1",
            Secret = Of("a secret of this mesh"),
            SocketPath = Path.Combine(_directory, "n1.sock"),
            Segments = [new SegmentOptions { Length = 1 << 20, HugePages = false, PreTouch = false }],
        }, registry, _runtime, Cancel)).Value;
    }

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync();
        System.IO.Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData((int)Lane.Client)]
    [InlineData((int)Lane.Owner)]
    [InlineData((int)Lane.Data)]
    [InlineData((int)Lane.Shm)]
    public async Task No_lane_opens_without_the_secret(int lane)
    {
        foreach (string endpoint in new[] { _node.Endpoint, "unix:" + Path.Combine(_directory, "n1.sock") })
        {
            foreach (var secret in new[] { null, Of("another secret, wrong") })
            {
                await using var connection = await _runtime.Network.ConnectAsync(endpoint, Cancel);
                using var reader = new FrameReader(connection);
                var refused = await OfferAsync(secret, connection, reader, (Lane)lane);
                Assert.Equal(MeshErrorCode.Unauthenticated, refused.Error?.Code);
                Assert.True(await HasClosedAsync(connection));
            }

            await using var good = await _runtime.Network.ConnectAsync(endpoint, Cancel);
            using var goodReader = new FrameReader(good);
            var welcome = await OfferAsync(Of("a secret of this mesh"), good, goodReader, (Lane)lane);
            Assert.True(welcome.Succeeded, welcome.Error?.Message);
        }

        Assert.Equal(4, _node.Status().Counters["unauthenticated_connections"]);
    }

    private Task<MeshResult<Hello>> OfferAsync(ClusterSecret? secret, IPeerConnection connection, FrameReader reader,
        Lane lane) => new Handshake(secret, _runtime).OfferAsync(connection, reader, new Hello
        {
            Cluster = "default",
            Lane = lane,
            NodeId = "n9",
            Incarnation = 1,
        }, Cancel);

    private static async Task<bool> HasClosedAsync(IPeerConnection connection)
    {
        try
        {
            return await connection.ReceiveAsync(new byte[16], Cancel) == 0;
        }
        catch (PeerNetworkException)
        {
            return true;
        }
    }

    private static ClusterSecret Of(string text) => ClusterSecret.Parse(Encoding.UTF8.GetBytes(text)).Value;
}
