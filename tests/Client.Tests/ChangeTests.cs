// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Reads and writes while nodes join, leave and die.</summary>
public sealed class ChangeTests
{
    /// <summary>With a deadline that a busy machine does not reach.</summary>
    private static readonly PutOptions Spread = new()
    {
        Placement = Placement.Spread, Deadline = TimeSpan.FromSeconds(20),
    };

    [Fact]
    public async Task A_join_loses_no_read()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 256 << 20);
        await using var client = await mesh.ClientAsync();
        var keys = await FillAsync(client, 20_000);
        var reading = new CancellationTokenSource();
        var reader = Task.Run(() => ReadUntilAsync(client, keys, reading.Token), TestContext.Current.CancellationToken);
        await mesh.AddAsync("n4", 64 << 20);
        await mesh.ReadyAsync();
        reading.CancelAfter(500);
        var (rounds, misses) = await reader;
        Assert.True(rounds > 0);
        Assert.Empty(misses);
        Assert.True(mesh.Nodes[3].Status().Slots.Primary > 0);
    }

    [Fact]
    public async Task A_death_loses_nothing_but_what_the_dead_node_held()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 64 << 20);
        await using var client = await mesh.ClientAsync(2);
        var keys = await FillAsync(client, 3_000);
        var held = new HashSet<MeshKey>();
        await foreach (var listed in client.ListAsync("", TestContext.Current.CancellationToken))
        {
            if (listed.Value.Nodes is not ["n1"])
                held.Add(listed.Value.Key);
        }

        Assert.InRange(held.Count, 1500, 2500);
        mesh.Nodes[0].Abort();
        var absent = new List<string>();
        for (int round = 0; round < 5; round++)
        {
            var found = await client.TryExistsBatchAsync([.. held], TestContext.Current.CancellationToken);
            for (int i = 0; i < found.Length; i++)
            {
                if (!found[i].Succeeded || !found[i].Value)
                    absent.Add(found[i].Error?.ToString() ?? "absent");
            }
        }

        Assert.Empty(absent);
        foreach (var key in held.Take(300))
            Assert.Equal(ValueOf(key), await client.GetAsync(key));
        for (int i = 0; i < 300; i++)
            await client.PutAsync(new MeshKey($"new-{i}"), new byte[100], Spread);
        foreach (var key in keys.Where(k => !held.Contains(k)).Take(100))
            Assert.Equal(MeshErrorCode.NotFound, (await client.TryGetAsync(key)).Error?.Code);
        mesh.Nodes.RemoveAt(0);
    }

    [Fact]
    public async Task A_full_mesh_evicts_and_takes_every_put()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 1 << 20);
        await using var client = await mesh.ClientAsync();
        for (int i = 0; i < 3_000; i++)
        {
            var put = await client.TryPutAsync(new MeshKey($"k{i}"), new byte[4096], Spread);
            Assert.True(put.Succeeded, put.Error?.ToString());
        }

        int present = 0;
        for (int i = 2_900; i < 3_000; i++)
            present += await client.ExistsAsync(new MeshKey($"k{i}")) ? 1 : 0;
        Assert.Equal(100, present);
        var counts = mesh.Nodes.ConvertAll(n => n.Status());
        // Each of 768 places is taken, but for what the background keeps free: 3 of 256 at each node.
        Assert.InRange(counts.Sum(s => s.Memory.Objects), 768 - 9, 768);
        Assert.Equal(3_000, counts.Sum(s => s.Counters["evictions"] + s.Memory.Objects));
        Assert.All(counts, s => Assert.Equal(s.Memory.Capacity, s.Memory.Live + s.Memory.Free));
    }

    private static byte[] ValueOf(MeshKey key)
    {
        byte[] value = new byte[64 + (int)(key.Hash % 1000)];
        new Random((int)key.Hash).NextBytes(value);
        return value;
    }

    private static async Task<List<MeshKey>> FillAsync(MeshClient client, int count)
    {
        var keys = new List<MeshKey>();
        for (int i = 0; i < count; i++)
            keys.Add(new MeshKey($"key-{i}"));
        foreach (var batch in keys.Chunk(500))
        {
            var puts = await client.TryPutBatchAsync(batch,
                [.. batch.Select(k => (ReadOnlyMemory<byte>)ValueOf(k))], Spread);
            Assert.All(puts, p => Assert.True(p.Succeeded, p.Error?.ToString()));
        }

        return keys;
    }

    private static async Task<(int Rounds, List<string> Misses)> ReadUntilAsync(MeshClient client, List<MeshKey> keys,
        CancellationToken stop)
    {
        var misses = new List<string>();
        int rounds = 0;
        while (!stop.IsCancellationRequested)
        {
            foreach (var batch in keys.Chunk(1000))
            {
                var found = await client.TryExistsBatchAsync(batch, CancellationToken.None);
                for (int i = 0; i < batch.Length; i++)
                {
                    if (!found[i].Succeeded || !found[i].Value)
                        misses.Add($"{batch[i]}: {found[i].Error?.ToString() ?? "absent"}");
                }
            }

            rounds++;
        }

        return (rounds, misses);
    }
}
