// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Devices;
using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Puts of values that do not fit into a request, of keys that have an object.</summary>
public sealed class LargePutTests
{
    private const int Size = 1 << 20;
    private const int Room = 4;

    /// <summary>Room for so many and no more, but more than is kept free in the background.</summary>
    private const long Memory = (Room * (long)Size) + (Size / 2);

    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(60) };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 1)]
    [InlineData(true, Room)]
    [InlineData(false, Room)]
    public async Task What_is_there_takes_no_room_and_drives_nothing_out(bool sameHost, int objects)
    {
        await using var world = await TransferWorld.StartAsync(Memory);
        await using var client = await world.ClientAsync(sameHost);
        for (int i = 0; i < objects; i++)
            Assert.False((await PutAsync(client, i)).Existed);
        for (int i = 0; i < objects; i++)
        {
            var again = await PutAsync(client, i);
            Assert.Equal((true, 0), (again.Existed, again.Replicas));
        }

        await DeviceWorld.UntilAsync(() => world.Store.Usage.Filling == 0
            && world.Node.Holder.Processes.Usage.ReservedBytes == 0);
        var usage = world.Store.Usage;
        Assert.Equal((objects, objects * (long)Size), (usage.Objects, usage.Live));
    }

    private static async Task<PutOutcome> PutAsync(ClientPeer client, int key)
    {
        var put = await client.Operations.PutAsync(new MeshKey($"{key}"), new byte[Size], Patient, Cancel);
        Assert.True(put.Succeeded, put.Error?.ToString());
        return put.Value;
    }
}
