// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Removing by pattern, removing everything, and listing what is there.</summary>
public sealed class RemoveManyTests
{
    private static readonly PutOptions Spread =
        new() { Placement = Placement.Spread, Replicas = 2, Deadline = TimeSpan.FromSeconds(20) };

    [Fact]
    public async Task A_pattern_removes_what_it_matches_and_nothing_else()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 64 << 20);
        await using var client = await mesh.ClientAsync();
        await FillAsync(client, "kv/layer-", 3_000);
        await FillAsync(client, "other/", 100);
        Assert.Equal(30, (await client.TryRemoveMatchingAsync("^kv/layer-29[0-2][0-9]$")).Value);
        Assert.Equal(2_970, (await ListAsync(client, "kv/")).Count);
        Assert.Equal(0, (await client.TryRemoveMatchingAsync("^kv/layer-29[0-2][0-9]$")).Value);
        Assert.Equal(2_970, (await client.TryRemoveMatchingAsync("kv/")).Value);
        Assert.Equal(100, (await ListAsync(client, "")).Count);
        await mesh.SettledAsync(200 * 4096);
        foreach (string wrong in new[] { "", "(", @"(a)\1", new string('a', 1025) })
        {
            var error = (await client.TryRemoveMatchingAsync(wrong)).Error!;
            Assert.Equal(MeshErrorCode.InvalidArgument, error.Code);
            Assert.Contains(wrong.Length > 64 ? wrong[..64] : $"'{wrong}'", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_listing_has_each_key_once_whatever_its_copies()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 64 << 20);
        await using var client = await mesh.ClientAsync();
        await FillAsync(client, "a", 2_500);
        await FillAsync(client, "b", 10);
        var all = await ListAsync(client, "");
        Assert.Equal(2_510, all.Count);
        Assert.All(all.Values, o => Assert.Equal(2, o.Nodes.Distinct().Count()));
        Assert.Equal(10, (await ListAsync(client, "b")).Count);
        Assert.Empty(await ListAsync(client, "c"));
    }

    [Fact]
    public async Task Everything_goes_at_once_and_what_is_put_afterwards_stays()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 64 << 20);
        await using var client = await mesh.ClientAsync();
        for (int round = 1; round <= 3; round++)
        {
            await FillAsync(client, $"{round}-", 2_000);
            await client.PutAsync(new MeshKey("pinned"), new byte[10], new PutOptions { Pin = ObjectPin.Hard });
            var outcome = (await client.TryRemoveAllAsync()).Value;
            Assert.Equal((round, 3, 0), (outcome.Times, outcome.Nodes, outcome.Away));
            // Nothing is waited for: memory and records are gone when the call returns.
            Assert.Equal(0, mesh.LiveBytes);
            for (int n = 0; n < 3; n++)
            {
                await using var other = await mesh.ClientAsync(n);
                Assert.Equal(0, (await ExistAsync(other, $"{round}-", 2_000)).Count(e => e));
            }

            Assert.False((await client.PutAsync(new MeshKey($"after-{round}"), new byte[9])).Existed);
            Assert.Equal([$"after-{round}"], (await ListAsync(client, "")).Keys.Select(k => k.ToString()));
        }
    }

    [Fact]
    public async Task Puts_beside_a_removal_of_everything_succeed_and_are_whole_or_gone()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 64 << 20);
        await using var client = await mesh.ClientAsync();
        await using var writer = await mesh.ClientAsync(1);
        using var stop = new CancellationTokenSource();
        int before = 0;
        var putting = Task.Run(async () =>
        {
            for (int i = 0; !stop.IsCancellationRequested; i++)
            {
                var put = await writer.TryPutAsync(new MeshKey($"{i}"), BitConverter.GetBytes(i), Spread);
                Assert.True(put.Succeeded, put.Error?.ToString());
                Volatile.Write(ref before, i);
            }
        });
        for (int round = 0; round < 20; round++)
        {
            int acknowledged = Volatile.Read(ref before);
            Assert.True((await client.TryRemoveAllAsync()).Succeeded);
            var left = await client.TryExistsBatchAsync(
                [.. Enumerable.Range(0, acknowledged).Select(i => new MeshKey($"{i}"))]);
            Assert.All(left, l => Assert.False(l.Value));
            int from = Volatile.Read(ref before) + 2;
            while (Volatile.Read(ref before) < from + 5)
                await Task.Yield();
            // Begun after the removal had returned: it stays.
            for (int i = from; i < from + 5; i++)
                Assert.Equal(i, BitConverter.ToInt32(await client.GetAsync(new MeshKey($"{i}"))));
        }

        await stop.CancelAsync();
        await putting;
    }

    [Fact]
    public async Task A_node_that_joins_later_knows_that_everything_was_removed()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        await FillAsync(client, "old-", 100);
        Assert.True((await client.TryRemoveAllAsync()).Succeeded);
        await FillAsync(client, "new-", 100);
        await mesh.AddAsync("n3", 16 << 20);
        await mesh.ReadyAsync();
        await FillAsync(client, "newer-", 100);
        Assert.Equal(200, (await ListAsync(client, "new")).Count);
        Assert.Equal(1, mesh.Nodes[2].Status().Counters["remove_alls"]);
        Assert.Equal(2, (await client.TryRemoveAllAsync()).Value.Times);
        Assert.Empty(await ListAsync(client, ""));
    }

    private static async Task FillAsync(MeshClient client, string prefix, int count)
    {
        foreach (int[] batch in Enumerable.Range(0, count).Chunk(500))
        {
            var puts = await client.TryPutBatchAsync([.. batch.Select(i => new MeshKey($"{prefix}{i:0000}"))],
                [.. batch.Select(i => (ReadOnlyMemory<byte>)BitConverter.GetBytes(i))], Spread);
            Assert.All(puts, p => Assert.True(p.Succeeded, p.Error?.ToString()));
        }
    }

    private static async Task<IEnumerable<bool>> ExistAsync(MeshClient client, string prefix, int count)
    {
        var found = await client.TryExistsBatchAsync(
            [.. Enumerable.Range(0, count).Select(i => new MeshKey($"{prefix}{i:0000}"))]);
        return found.Select(f => f.Value);
    }

    private static async Task<Dictionary<MeshKey, ListedObject>> ListAsync(MeshClient client, string prefix)
    {
        var all = new Dictionary<MeshKey, ListedObject>();
        await foreach (var item in client.ListAsync(prefix))
            Assert.True(all.TryAdd(item.Value.Key, item.Value), $"{item.Value.Key} comes twice");
        return all;
    }
}
