// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

public sealed class PutGetTests
{
    [Fact]
    public async Task A_value_put_through_one_node_is_got_through_another()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20);
        await using var writer = await mesh.ClientAsync(0);
        await using var reader = await mesh.ClientAsync(1);
        for (int i = 0; i < 200; i++)
        {
            byte[] value = new byte[i * 37];
            new Random(i).NextBytes(value);
            var spread = new PutOptions { Placement = Placement.Spread };
            var put = await writer.PutAsync(new MeshKey($"key-{i}"), value, spread);
            Assert.False(put.Existed);
            Assert.Equal(value, await reader.GetAsync(new MeshKey($"key-{i}")));
        }

        Assert.False(await reader.ExistsAsync(new MeshKey("no such key")));
        Assert.True(await reader.RemoveAsync(new MeshKey("key-7")));
        Assert.False(await writer.ExistsAsync(new MeshKey("key-7")));
        Assert.Equal(MeshErrorCode.NotFound, (await writer.TryGetAsync(new MeshKey("key-7"))).Error!.Code);
    }
}
