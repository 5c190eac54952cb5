// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Several puts of one key: the first stays, whole; the others succeed and leave nothing behind.</summary>
public sealed class SameKeyTests
{
    [Fact]
    public async Task A_second_put_succeeds_and_changes_nothing()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 64 << 20);
        await using var client = await mesh.ClientAsync();
        var key = new MeshKey("k");
        byte[] a = Pattern(1, 1 << 20);
        byte[] b = Pattern(2, 2 << 20);
        var first = await client.PutAsync(key, a);
        Assert.False(first.Existed);
        Assert.Equal(1, first.Replicas);
        long used = mesh.LiveBytes;
        Assert.Equal(1 << 20, used);
        var again = await client.PutAsync(key, a);
        Assert.True(again.Existed);
        Assert.Equal(0, again.Replicas);
        Assert.Equal(first.Version, again.Version);
        Assert.True((await client.PutAsync(key, b)).Existed);
        var watch = Stopwatch.StartNew();
        for (int i = 0; i < 10_000; i++)
        {
            var put = await client.TryPutAsync(key, b);
            Assert.True(put.Value.Existed);
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"10,000 puts of 2 MiB under a key that exists: {watch.ElapsedMilliseconds} ms");
        Assert.Equal(a, await client.GetAsync(key));
        await mesh.SettledAsync(used);
        Assert.Equal(1, mesh.Nodes.Sum(n => n.Status().Memory.Objects));
    }

    [Fact]
    public async Task A_removed_key_takes_a_new_value_and_gives_back_the_old_ones_memory()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 64 << 20);
        await using var client = await mesh.ClientAsync();
        var key = new MeshKey("k");
        for (int i = 0; i < 100; i++)
        {
            byte[] value = Pattern(i, 1 + (i * 10_007));
            Assert.False((await client.PutAsync(key, value)).Existed);
            Assert.Equal(value, await client.GetAsync(key));
            Assert.True(await client.RemoveAsync(key));
            Assert.False(await client.ExistsAsync(key));
        }

        await mesh.SettledAsync(0);
    }

    [Theory]
    [InlineData(100, 1 << 20)]
    [InlineData(500, 4096)]
    public async Task Of_two_writers_one_wins_whole(int keys, int size)
    {
        await using var mesh = await LocalMesh.StartAsync(3, 2L * keys * size);
        await using var a = await mesh.ClientAsync(0);
        await using var b = await mesh.ClientAsync(1);
        await using var reader = await mesh.ClientAsync(2);
        using var barrier = new Barrier(2);
        byte[][] seen = new byte[keys][];
        using var stop = new CancellationTokenSource();
        var reading = Task.Run(() => PollAsync(reader, seen, size, stop.Token));
        int[] wins = await Task.WhenAll(WriteAsync(a, 0xAA), WriteAsync(b, 0xBB));
        await stop.CancelAsync();
        await reading;
        Assert.Equal(keys, wins.Sum());
        for (int i = 0; i < keys; i++)
        {
            byte[] value = await reader.GetAsync(KeyOf(i));
            Complete(value, size);
            if (seen[i] is { } earlier)
                Assert.Equal(earlier[0], value[0]);
            Assert.Equal(value, await a.GetAsync(KeyOf(i)));
            Assert.Equal(value, await b.GetAsync(KeyOf(i)));
        }

        await mesh.SettledAsync(keys * LocalMesh.Room(size));
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"writer A won {wins[0]}, B {wins[1]}; {seen.Count(s => s is not null)} seen while written");

        Task<int> WriteAsync(MeshClient client, byte fill) => Task.Factory.StartNew(() =>
        {
            byte[] value = new byte[size];
            Array.Fill(value, fill);
            int won = 0;
            for (int i = 0; i < keys; i++)
            {
                barrier.SignalAndWait();
                var put = client.TryPutAsync(KeyOf(i), value).GetAwaiter().GetResult();
                Assert.True(put.Succeeded, put.Error?.ToString());
                won += put.Value.Existed ? 0 : 1;
            }

            return won;
        }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private static MeshKey KeyOf(int i) => new($"k-{i}");

    private static byte[] Pattern(int seed, int length)
    {
        byte[] value = new byte[length];
        new Random(seed).NextBytes(value);
        return value;
    }

    private static void Complete(byte[] value, int size)
    {
        Assert.Equal(size, value.Length);
        Assert.True(value[0] is 0xAA or 0xBB, $"first byte {value[0]:x2}");
        Assert.False(value.AsSpan().ContainsAnyExcept(value[0]), "two values are mixed");
    }

    /// <summary>A key that exists can be got, whole, and stays what it was when first seen.</summary>
    private static async Task PollAsync(MeshClient client, byte[][] seen, int size, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            for (int i = 0; i < seen.Length && !stop.IsCancellationRequested; i++)
            {
                if (!await client.ExistsAsync(KeyOf(i)))
                    break;
                byte[] value = await client.GetAsync(KeyOf(i));
                Complete(value, size);
                Assert.Equal((seen[i] ??= value)[0], value[0]);
            }
        }
    }
}
