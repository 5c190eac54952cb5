// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

/// <summary>A value that takes the place of another: whole, in one order, with nothing left behind.</summary>
public sealed class UpsertTests
{
    private static readonly MeshKey Key = new("k");
    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(20) };

    [Theory]
    [InlineData(100, 3_000)]
    [InlineData(3_000_000, 200)]
    [InlineData(70_000, 1_000_000)]
    public async Task The_new_value_is_seen_by_all_and_the_old_ones_memory_comes_back(int before, int after)
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20);
        await using var a = await mesh.ClientAsync(0);
        await using var b = await mesh.ClientAsync(1);
        var spread = Patient with { Placement = Placement.Spread };
        RecordVersion last = default;
        for (int i = 0; i < 20; i++)
        {
            var (writer, reader) = i % 2 == 0 ? (a, b) : (b, a);
            byte[] value = Bytes(i, i % 2 == 0 ? before : after);
            var put = await writer.UpsertAsync(Key, value, spread with { Replicas = 1 + (i % 3) });
            Assert.Equal((false, 1 + (i % 3)), (put.Existed, put.Replicas));
            Assert.True(put.Version > last, $"{put.Version} after {last}");
            last = put.Version;
            Assert.Equal(value, await writer.GetAsync(Key));
            Assert.Equal(value, await reader.GetAsync(Key));
            // Gone when the call returned, not some time later.
            Assert.Equal((1 + (i % 3)) * LocalMesh.Room(value.Length), mesh.LiveBytes);
        }

        Assert.True((await a.PutAsync(Key, Bytes(1, 5))).Existed);
        Assert.True(await a.RemoveAsync(Key));
        await mesh.SettledAsync(0);
    }

    [Fact]
    public async Task A_replacement_that_finds_no_room_leaves_the_old_value()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 4 << 20);
        await using var client = await mesh.ClientAsync();
        byte[] old = Bytes(1, 100_000);
        await client.PutAsync(Key, old, new PutOptions { Replicas = 2 });
        var error = (await client.TryUpsertAsync(Key, new byte[5 << 20])).Error!;
        Assert.Equal(MeshErrorCode.InvalidArgument, error.Code);
        Assert.Equal(old, await client.GetAsync(Key));
        await mesh.SettledAsync(2 * LocalMesh.Room(old.Length));
    }

    [Fact]
    public async Task Of_concurrent_replacements_one_is_last_and_readers_never_go_back()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 64 << 20);
        await using var reader = await mesh.ClientAsync(2);
        const int Writers = 3, Rounds = 60, Size = 80_000;
        await reader.PutAsync(Key, Filled(0, Size));
        using var stop = new CancellationTokenSource();
        var reading = Task.Run(() => PollAsync(reader, Size, stop.Token));
        var outcomes = new List<(RecordVersion Version, byte Fill)>();
        await Task.WhenAll(Enumerable.Range(1, Writers).Select(WriteAsync));
        await stop.CancelAsync();
        Assert.True(await reading > 0);
        var last = outcomes.MaxBy(o => o.Version);
        Assert.Equal(Writers * Rounds, outcomes.Select(o => o.Version).Distinct().Count());
        Assert.Equal(Filled(last.Fill, Size), await reader.GetAsync(Key));
        await mesh.SettledAsync(LocalMesh.Room(Size));

        async Task WriteAsync(int writer)
        {
            await using var client = await mesh.ClientAsync(writer - 1);
            RecordVersion before = default;
            for (int i = 0; i < Rounds; i++)
            {
                byte fill = (byte)((writer * Rounds) + i);
                var put = await client.UpsertAsync(Key, Filled(fill, Size), Patient);
                Assert.True(put.Version > before);
                before = put.Version;
                lock (outcomes)
                    outcomes.Add((put.Version, fill));
            }
        }
    }

    [Fact]
    public async Task A_batch_replaces_each_key_and_of_a_key_named_twice_the_last_value_wins()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20);
        await using var client = await mesh.ClientAsync();
        var keys = new MeshKey[] { new("x"), new("y"), new("x"), new("") , new("new") };
        await client.PutAsync(keys[0], Bytes(1, 10));
        await client.PutAsync(keys[1], Bytes(1, 90_000));
        var values = Enumerable.Range(10, 5).Select(i => (ReadOnlyMemory<byte>)Bytes(i, 50 * i)).ToArray();
        var puts = await client.TryUpsertBatchAsync(keys, values, Patient);
        Assert.Equal(MeshErrorCode.InvalidKey, puts[3].Error?.Code);
        foreach (int i in new[] { 0, 1, 2, 4 })
            Assert.False(puts[i].Value.Existed);
        Assert.Equal(puts[2].Value.Version, puts[0].Value.Version);
        Assert.Equal(values[2].ToArray(), await client.GetAsync(keys[0]));
        Assert.Equal(values[1].ToArray(), await client.GetAsync(keys[1]));
        Assert.Equal(values[4].ToArray(), await client.GetAsync(keys[4]));
        await mesh.SettledAsync(3 * 4096);
    }

    private static byte[] Bytes(int seed, int length)
    {
        byte[] value = new byte[length];
        new Random(seed).NextBytes(value);
        return value;
    }

    private static byte[] Filled(byte fill, int size)
    {
        byte[] value = new byte[size];
        Array.Fill(value, fill);
        return value;
    }

    /// <summary>Reads until told to stop: the key is always there, and every value is one writer's, whole.</summary>
    private static async Task<int> PollAsync(MeshClient client, int size, CancellationToken stop)
    {
        int reads = 0;
        var seen = new HashSet<byte>();
        byte present = 0;
        while (!stop.IsCancellationRequested)
        {
            var got = await client.TryGetAsync(Key, cancel: CancellationToken.None);
            // Three replacements within one read are too many for it; the next read sees what they left. It is no miss.
            if (got.Error is { Code: MeshErrorCode.Unavailable } error)
            {
                Assert.Contains("replaced or moved each of the 3 times", error.Message, StringComparison.Ordinal);
                Assert.True(await client.ExistsAsync(Key));
                continue;
            }

            byte[] value = got.Value;
            Assert.Equal(size, value.Length);
            Assert.False(value.AsSpan().ContainsAnyExcept(value[0]), "two values are mixed");
            if (value[0] != present)
                Assert.True(seen.Add(value[0]), $"{value[0]} was seen before what followed it");
            present = value[0];
            reads++;
        }

        return reads;
    }
}
