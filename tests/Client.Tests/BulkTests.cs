// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

public sealed class BulkTests
{
    [Fact]
    public async Task Large_values_go_over_the_data_lane()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 64 << 20);
        await using var writer = await mesh.ClientAsync(0);
        await using var reader = await mesh.ClientAsync(1);
        for (int i = 0; i < 6; i++)
        {
            byte[] value = new byte[(64 << 10) + 1 + (i << 20)];
            new Random(i).NextBytes(value);
            var key = new MeshKey($"key-{i}");
            Assert.False((await writer.PutAsync(key, value, new PutOptions { Placement = Placement.Spread })).Existed);
            Assert.Equal(value, await reader.GetAsync(key));
        }
    }
}
