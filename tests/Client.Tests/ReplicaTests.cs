// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Where copies go, how many there are, and what the loss of a holder costs.</summary>
public sealed class ReplicaTests
{
    private static readonly PutOptions Two = new() { Replicas = 2 };

    [Theory]
    [InlineData(100)]
    [InlineData(200_000)]
    public async Task Two_copies_lie_on_two_nodes_and_one_of_them_is_enough(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(3, 32 << 20);
        await using var client = await mesh.ClientAsync(2);
        var keys = Enumerable.Range(0, 30).Select(i => new MeshKey($"k{i}")).ToArray();
        for (int i = 0; i < keys.Length; i++)
        {
            var put = await client.PutAsync(keys[i], Bytes(i, size), Two);
            Assert.Equal(2, put.Replicas);
            Assert.False(put.Existed);
        }

        Assert.Equal(2 * keys.Length * LocalMesh.Room(size), mesh.LiveBytes);
        var holders = await HoldersAsync(client);
        Assert.All(keys, k => Assert.Equal(2, holders[k].Count));
        mesh.Nodes[0].Abort();
        mesh.Nodes.RemoveAt(0);
        for (int i = 0; i < keys.Length; i++)
            Assert.Equal(Bytes(i, size), await client.GetAsync(keys[i]));
        Assert.All(await client.TryExistsBatchAsync(keys), e => Assert.True(e.Value));
    }

    [Fact]
    public async Task More_copies_than_nodes_are_as_many_as_there_are_nodes()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 4 << 20);
        await mesh.AddAsync("n3", 0);
        await mesh.ReadyAsync();
        await using var client = await mesh.ClientAsync();
        foreach (int size in new[] { 10, 100_000 })
        {
            var put = await client.PutAsync(new MeshKey($"k{size}"), Bytes(1, size), new PutOptions { Replicas = 5 });
            Assert.Equal(2, put.Replicas);
        }

        var all = new List<string>();
        await foreach (var item in client.ListAsync("k10"))
            all.Add($"{item.Value.Key} on {string.Join(',', item.Value.Nodes)}");
        Assert.Equal(["k10 on n1,n2", "k100000 on n1,n2"], all.Order(StringComparer.Ordinal));
        var error = (await client.TryPutAsync(new MeshKey("x"), Bytes(1, 1), new PutOptions { Replicas = 0 })).Error;
        Assert.Equal(MeshErrorCode.InvalidArgument, error?.Code);
        Assert.Contains("64", error!.Message, StringComparison.Ordinal);
        error = (await client.TryPutAsync(new MeshKey("x"), Bytes(1, 1), new PutOptions { Replicas = 65 })).Error;
        Assert.Equal(MeshErrorCode.InvalidArgument, error?.Code);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(200_000)]
    public async Task A_put_of_the_same_bytes_adds_the_copies_that_are_lacking(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(3, 8 << 20);
        await using var client = await mesh.ClientAsync();
        byte[] value = Bytes(1, size);
        for (int i = 0; i < 10; i++)
        {
            var key = new MeshKey($"k{i}");
            var first = await client.PutAsync(key, value);
            var other = await client.PutAsync(key, Bytes(2, size), Two);
            Assert.Equal((true, 0), (other.Existed, other.Replicas));
            var more = await client.PutAsync(key, value, Two);
            Assert.Equal((true, 1, first.Version), (more.Existed, more.Replicas, more.Version));
            var enough = await client.PutAsync(key, value, Two);
            Assert.Equal((true, 0), (enough.Existed, enough.Replicas));
            Assert.Equal(value, await client.GetAsync(key));
        }

        await mesh.SettledAsync(20 * LocalMesh.Room(size));
        Assert.All((await HoldersAsync(client)).Values, h => Assert.Equal(2, h.Count));
        // The copy that joined is the older object's: a remove finds it, and so does a reader when the other is gone.
        for (int i = 5; i < 10; i++)
            Assert.True(await client.RemoveAsync(new MeshKey($"k{i}")));
        await mesh.SettledAsync(10 * LocalMesh.Room(size));
        string holder = (await HoldersAsync(client))[new MeshKey("k0")].First();
        await using var reader = await mesh.ClientAsync(mesh.Nodes.FindIndex(n => n.NodeId != holder));
        var died = mesh.Nodes.Single(n => n.NodeId == holder);
        died.Abort();
        mesh.Nodes.Remove(died);
        Assert.Equal(value, await reader.GetAsync(new MeshKey("k0")));
    }

    [Fact]
    public async Task A_removed_object_leaves_no_copy_behind()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 8 << 20);
        await using var client = await mesh.ClientAsync();
        for (int i = 0; i < 20; i++)
            Assert.Equal(3, (await client.PutAsync(new MeshKey($"{i}"), Bytes(i, 90_000),
                new PutOptions { Replicas = 3 })).Replicas);
        for (int i = 0; i < 20; i++)
            Assert.True(await client.RemoveAsync(new MeshKey($"{i}")));
        await mesh.SettledAsync(0);
        Assert.Empty(await HoldersAsync(client));
    }

    [Fact]
    public async Task Placement_decides_who_holds()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20);
        for (int n = 0; n < 3; n++)
        {
            await using var embedded = MeshClient.For(mesh.Nodes[n]);
            for (int i = 0; i < 20; i++)
                await embedded.PutAsync(new MeshKey($"local-{n}-{i}"), Bytes(i, 1000));
        }

        await using var client = await mesh.ClientAsync();
        var holders = await HoldersAsync(client);
        for (int n = 0; n < 3; n++)
        {
            for (int i = 0; i < 20; i++)
                Assert.Equal([$"n{n + 1}"], holders[new MeshKey($"local-{n}-{i}")]);
        }

        for (int i = 0; i < 300; i++)
        {
            await client.PutAsync(new MeshKey($"spread-{i}"), Bytes(i, 100),
                new PutOptions { Placement = Placement.Spread });
            await client.PutAsync(new MeshKey($"preferred-{i}"), Bytes(i, 100),
                new PutOptions { Placement = Placement.Preferred, PreferredNode = "n2" });
            await client.PutAsync(new MeshKey($"nowhere-{i}"), Bytes(i, 100),
                new PutOptions { Placement = Placement.Preferred, PreferredNode = "no such node" });
        }

        holders = await HoldersAsync(client);
        Assert.Equal(960, holders.Count);
        Assert.All(holders.Where(h => Named(h.Key, "preferred")), h => Assert.Equal(["n2"], h.Value));
        var spread = holders.Where(h => Named(h.Key, "spread")).GroupBy(h => h.Value.Single()).ToList();
        Assert.Equal(3, spread.Count);
        Assert.All(spread, s => Assert.InRange(s.Count(), 50, 150));
    }

    [Fact]
    public async Task A_full_preferred_node_gives_way_to_another()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 4 << 20);
        await using var client = await mesh.ClientAsync();
        var options = new PutOptions { Placement = Placement.Preferred, PreferredNode = "n1" };
        for (int i = 0; i < 6; i++)
            await client.PutAsync(new MeshKey($"{i}"), Bytes(i, 1 << 20), options);
        for (int i = 0; i < 6; i++)
            Assert.Equal(Bytes(i, 1 << 20), await client.GetAsync(new MeshKey($"{i}")));
        Assert.Equal(2 << 20, mesh.Nodes[1].Status().Memory.Live);
    }

    private static bool Named(MeshKey key, string prefix) =>
        key.ToString().StartsWith(prefix, StringComparison.Ordinal);

    private static async Task<Dictionary<MeshKey, HashSet<string>>> HoldersAsync(MeshClient client)
    {
        var holders = new Dictionary<MeshKey, HashSet<string>>();
        await foreach (var item in client.ListAsync(""))
        {
            Assert.True(holders.TryAdd(item.Value.Key, [.. item.Value.Nodes]), $"{item.Value.Key} comes twice");
            Assert.Equal(item.Value.Nodes.Count, holders[item.Value.Key].Count);
        }

        return holders;
    }

    private static byte[] Bytes(int seed, int length)
    {
        byte[] value = new byte[length];
        new Random(seed).NextBytes(value);
        return value;
    }
}
