// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>A node that is filled far past its capacity while somebody keeps asking what is there.</summary>
public sealed class OverfullTests
{
    private const int Size = 1 << 20;
    private const int Puts = 400;
    private const long Capacity = 64L << 20;
    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(20) };

    [Fact]
    public async Task Every_put_succeeds_and_the_latest_can_be_read()
    {
        await using var mesh = await LocalMesh.StartAsync(1, Capacity);
        await using var client = await mesh.ClientAsync();
        await using var asker = await mesh.ClientAsync();
        using var stop = new CancellationTokenSource();
        int done = 0;
        var asking = Task.Run(async () =>
        {
            int rounds = 0;
            for (; !stop.IsCancellationRequested; rounds++)
            {
                var keys = Enumerable.Range(0, Volatile.Read(ref done)).Select(KeyOf).ToArray();
                Assert.All(await asker.TryExistsBatchAsync(keys), e => Assert.True(e.Succeeded, e.Error?.ToString()));
                Assert.InRange(mesh.Nodes[0].Status().Memory.Free, 0, Capacity);
            }

            return rounds;
        });
        var longest = TimeSpan.Zero;
        for (int i = 0; i < Puts; i++)
        {
            long start = Stopwatch.GetTimestamp();
            var put = await client.TryPutAsync(KeyOf(i), ValueOf(i), Patient);
            Assert.True(put.Succeeded, $"{i}: {put.Error}");
            var took = Stopwatch.GetElapsedTime(start);
            longest = took > longest ? took : longest;
            Volatile.Write(ref done, i + 1);
        }

        await stop.CancelAsync();
        int rounds = await asking;
        Assert.True(rounds > 0);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (mesh.Nodes[0].Status().Memory.Free < Capacity / 100)
            await Task.Delay(10, limit.Token);
        int present = 0;
        for (int i = 0; i < Puts; i++)
        {
            bool exists = await client.ExistsAsync(KeyOf(i));
            var got = await client.TryGetAsync(KeyOf(i));
            Assert.Equal(exists ? null : MeshErrorCode.NotFound, got.Error?.Code);
            if (exists)
                Assert.Equal(ValueOf(i), got.Value);
            Assert.True(exists || i < Puts - 32, $"{i} is one of the latest 32 and is gone");
            present += exists ? 1 : 0;
        }

        // A hundredth is kept free in the background: one more value fits without evicting.
        var status = mesh.Nodes[0].Status();
        Assert.True(status.Memory.Free >= Capacity / 100);
        Assert.Equal(status.Memory.Objects, present);
        Assert.Equal(Puts, status.Memory.Objects + status.Counters["evictions"]);
        Assert.True(status.Memory.Live <= Capacity);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"longest put {longest.TotalMilliseconds:0} ms beside {rounds} rounds of exists; {present} present");
    }

    private static MeshKey KeyOf(int i) => new($"k{i}");

    private static byte[] ValueOf(int i)
    {
        byte[] value = new byte[Size];
        new Random(i).NextBytes(value);
        return value;
    }
}
