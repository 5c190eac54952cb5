// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

/// <summary>What is kept and what leaves when memory runs out.</summary>
public sealed class PinTests
{
    private const int Size = 64 << 10;

    [Fact]
    public async Task Hard_pins_outlive_everything_and_soft_ones_all_that_is_not_pinned()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 64 * Size);
        await using var client = await mesh.ClientAsync();
        await PutAsync(client, "hard", 16, new PutOptions { Pin = ObjectPin.Hard });
        await PutAsync(client, "soft", 16, new PutOptions { Pin = ObjectPin.Soft });
        await PutAsync(client, "plain", 200, new PutOptions());
        Assert.Equal(16, await PresentAsync(client, "hard", 16));
        Assert.Equal(16, await PresentAsync(client, "soft", 16));
        // What is evicted in the background must not leave between the two counts.
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (mesh.Nodes[0].Status().Memory.Free < 64 * Size / 100)
            await Task.Delay(10, limit.Token);
        Assert.Equal(mesh.Nodes[0].Status().Memory.Objects - 32, await PresentAsync(client, "plain", 200));
        // With nothing else to take, soft pins go, hard ones never.
        await PutAsync(client, "soft-too", 200, new PutOptions { Pin = ObjectPin.Soft });
        Assert.Equal(16, await PresentAsync(client, "hard", 16));
        Assert.Equal(0, await PresentAsync(client, "soft", 16));
        Assert.Equal(16 * Size, mesh.Nodes[0].Status().Counters["hard_pinned_bytes"]);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(100_000)]
    public async Task More_than_the_nodes_allow_is_not_hard_pinned(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(2, 1 << 20);
        await using var client = await mesh.ClientAsync();
        var hard = new PutOptions { Pin = ObjectPin.Hard };
        int room = (int)((1 << 20) / 2 / LocalMesh.Room(size));
        for (int i = 0; i < 2 * room; i++)
            Assert.False((await client.PutAsync(new MeshKey($"{i}"), new byte[size], hard)).Existed);
        var error = (await client.TryPutAsync(new MeshKey("more"), new byte[size], hard)).Error!;
        Assert.Equal(MeshErrorCode.PinLimit, error.Code);
        Assert.Contains($"the limit is {1 << 19} bytes", error.Message, StringComparison.Ordinal);
        Assert.False((await client.PutAsync(new MeshKey("more"), new byte[size])).Existed);
        Assert.Equal(MeshErrorCode.PinLimit,
            (await client.TryPutAsync(new MeshKey("more"), new byte[size], hard)).Error?.Code);
        // Whichever node holds it, room is made there.
        var pinned = new Dictionary<string, MeshKey>();
        await foreach (var item in client.ListAsync(""))
        {
            if (item.Value.Key != new MeshKey("more"))
                pinned[item.Value.Nodes[0]] = item.Value.Key;
        }

        Assert.Equal(2, pinned.Count);
        foreach (var key in pinned.Values)
            Assert.True(await client.RemoveAsync(key));
        Assert.True((await client.PutAsync(new MeshKey("more"), new byte[size], hard)).Existed);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(Size)]
    [InlineData(Size + 1)]
    public async Task A_put_of_what_is_there_pins_it(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(1, 64 * LocalMesh.Room(size));
        await using var client = await mesh.ClientAsync();
        var key = new MeshKey("k");
        await client.PutAsync(key, new byte[size]);
        Assert.True((await client.PutAsync(key, new byte[size], new PutOptions { Pin = ObjectPin.Hard })).Existed);
        await PutAsync(client, "plain", 200, new PutOptions(), size);
        Assert.True(await client.ExistsAsync(key));
        Assert.True(await client.RemoveAsync(key));
        Assert.Equal(0, mesh.Nodes[0].Status().Counters["hard_pinned_bytes"]);
    }

    [Fact]
    public async Task A_group_leaves_as_a_whole_on_every_holder()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 32 * Size);
        await using var client = await mesh.ClientAsync();
        for (int n = 1; n <= 2; n++)
        {
            await PutAsync(client, $"n{n}-g", 4, On(n) with { Group = "g" });
            await PutAsync(client, $"n{n}-pinned", 1, On(n) with { Group = "g", Pin = ObjectPin.Hard });
            await PutAsync(client, $"n{n}-other", 4, On(n) with { Group = "other" });
        }

        // n1 fills up and gives its oldest up; n2 has room, and hears of it.
        int plain = 0;
        while (await PresentAsync(client, "n1-g", 4) == 4)
            await PutAsync(client, $"fill-{plain++}", 1, On(1) with { Replicas = 1 });
        // Owners hear of what is gone a moment later, n2 of the group a moment after that.
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (await PresentAsync(client, "n1-g", 4) + await PresentAsync(client, "n2-g", 4) > 0)
            await Task.Delay(10, limit.Token);
        for (int n = 1; n <= 2; n++)
        {
            Assert.Equal(1, await PresentAsync(client, $"n{n}-pinned", 1));
            Assert.Equal(4, await PresentAsync(client, $"n{n}-other", 4));
        }

        Assert.Equal(MeshErrorCode.InvalidArgument, (await client.TryPutAsync(new MeshKey("x"), new byte[1],
            new PutOptions { Group = new string('g', 257) })).Error?.Code);
    }

    private static PutOptions On(int node) =>
        new() { Placement = Placement.Preferred, PreferredNode = $"n{node}" };

    private static async Task PutAsync(MeshClient client, string name, int count, PutOptions options, int size = Size)
    {
        for (int i = 0; i < count; i++)
        {
            var put = await client.TryPutAsync(new MeshKey($"{name}-{i}"), new byte[size],
                options with { Deadline = TimeSpan.FromSeconds(20) });
            Assert.True(put.Succeeded, $"{name}-{i}: {put.Error}");
        }
    }

    private static async Task<long> PresentAsync(MeshClient client, string name, int count)
    {
        var found = await client.TryExistsBatchAsync(
            [.. Enumerable.Range(0, count).Select(i => new MeshKey($"{name}-{i}"))]);
        return found.Count(f => f.Value);
    }
}
