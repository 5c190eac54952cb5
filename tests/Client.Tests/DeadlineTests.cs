// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Calls that cannot succeed end by their deadline and say why.</summary>
public sealed class DeadlineTests
{
    [Fact]
    public async Task A_client_outlives_the_node_it_was_pointed_at()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20, TimeSpan.FromSeconds(1));
        await using var client = await mesh.ClientAsync(0);
        for (int i = 0; i < 50; i++)
            await client.PutAsync(new MeshKey($"k{i}"), new byte[100], new PutOptions { Replicas = 2 });
        mesh.Nodes[0].Abort();
        mesh.Nodes.RemoveAt(0);
        for (int i = 0; i < 50; i++)
            Assert.Equal(100, (await client.GetAsync(new MeshKey($"k{i}"))).Length);
        for (int i = 0; i < 50; i++)
            Assert.False((await client.PutAsync(new MeshKey($"new{i}"), new byte[70_000])).Existed);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (client.Nodes.Contains("n1"))
            await Task.Delay(10, limit.Token);
        Assert.Equal(["n2", "n3"], client.Nodes);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(300_000)]
    public async Task What_only_a_dead_node_held_is_a_miss(int size)
    {
        await using var mesh = await LocalMesh.StartAsync(3, 64 << 20, TimeSpan.FromMinutes(1));
        await using var client = await mesh.ClientAsync(1);
        var options = new PutOptions { Placement = Placement.Preferred, PreferredNode = "n1" };
        var keys = Enumerable.Range(0, 101).Select(i => new MeshKey($"k{i}")).ToArray();
        foreach (var key in keys)
            await client.PutAsync(key, new byte[size], options);
        mesh.Nodes[0].Abort();
        mesh.Nodes.RemoveAt(0);
        var watch = Stopwatch.StartNew();
        var first = await client.TryGetAsync(keys[0]);
        var spent = watch.Elapsed;
        Assert.Equal(MeshErrorCode.NotFound, first.Error?.Code);
        watch.Restart();
        foreach (var key in keys.AsSpan(1).ToArray())
        {
            byte[] memory = new byte[size];
            Assert.Equal(MeshErrorCode.NotFound, (await client.TryGetAsync(key, memory.AsMemory())).Error?.Code);
            Assert.False(memory.AsSpan().ContainsAnyExcept((byte)0));
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"first miss {spent.TotalMilliseconds:0.0} ms, the next 100 {watch.Elapsed.TotalMilliseconds:0.0} ms");
        Assert.False((await client.PutAsync(new MeshKey("new"), new byte[size], options)).Existed);
    }

    /// <summary>Such a call would end at once, and say that it was too late.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(Timeout.Infinite)]
    [InlineData(24 * 3600 * 1000 + 1)]
    public void A_deadline_that_is_none_is_refused_by_name(int milliseconds)
    {
        var deadline = TimeSpan.FromMilliseconds(milliseconds);
        Refused(() => new PutOptions { Deadline = deadline });
        Refused(() => new GetOptions { Deadline = deadline });
        Refused(() => new ViewOptions { Deadline = deadline });
        Refused(() => new MeshClientOptions { Deadline = deadline });
        Assert.Null(new PutOptions { Deadline = null }.Deadline);
        Assert.Equal(TimeSpan.FromDays(1), new GetOptions { Deadline = TimeSpan.FromDays(1) }.Deadline);

        void Refused(Func<object> make)
        {
            var refused = Assert.Throws<ArgumentOutOfRangeException>(make);
            Assert.Equal("Deadline", refused.ParamName);
            Assert.Contains($"{deadline}; more than 0 and up to 1.00:00:00 are legal", refused.Message,
                StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_bulk_call_refuses_a_deadline_that_is_none()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 16 << 20, TimeSpan.FromSeconds(5));
        await using var client = await mesh.ClientAsync(0);
        foreach (var deadline in (TimeSpan[])[TimeSpan.Zero, Timeout.InfiniteTimeSpan, TimeSpan.MaxValue])
        {
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>("deadline", () => client.TryRemoveAllAsync(deadline,
                TestContext.Current.CancellationToken));
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>("deadline", () => client.TryRemoveMatchingAsync("^a",
                deadline, TestContext.Current.CancellationToken));
            Assert.Throws<ArgumentOutOfRangeException>("deadline", () => MeshClient.For(mesh.Nodes[0], deadline));
        }
    }

    [Fact]
    public async Task A_cancelled_call_returns_cancelled()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        var key = new MeshKey("k");
        await client.PutAsync(key, new byte[100]);
        using var source = new CancellationTokenSource();
        await source.CancelAsync();
        var token = source.Token;
        MeshKey[] keys = [key, new("other")];
        var errors = new List<MeshError?>
        {
            (await client.TryPutAsync(new MeshKey("a"), new byte[10], null, token)).Error,
            (await client.TryPutAsync(new MeshKey("b"), new byte[100_000], null, token)).Error,
            (await client.TryGetAsync(key, null, token)).Error,
            (await client.TryGetAsync(key, new byte[100].AsMemory(), null, token)).Error,
            (await client.TryExistsAsync(key, token)).Error,
            (await client.TryRemoveAsync(key, token)).Error,
            (await client.TryMatchPrefixAsync(keys, token)).Error,
            (await client.TryStatusAsync(null, token)).Error,
        };
        errors.AddRange((await client.TryPutBatchAsync(keys, [new byte[1], new byte[1]], null, token))
            .Select(r => r.Error));
        errors.AddRange((await client.TryGetBatchAsync(keys, null, token)).Select(r => r.Error));
        errors.AddRange((await client.TryExistsBatchAsync(keys, token)).Select(r => r.Error));
        Assert.All(errors, e => Assert.Equal(MeshErrorCode.Cancelled, e?.Code));
        var connect = await MeshClient.TryConnectAsync(
            new MeshClientOptions { Nodes = [mesh.Nodes[0].Endpoint] }, token);
        Assert.Equal(MeshErrorCode.Cancelled, connect.Error?.Code);
        Assert.Equal(100, (await client.GetAsync(key)).Length);
    }

    [Fact]
    public async Task A_call_that_cannot_end_in_time_names_its_time()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 16 << 20);
        await using var client = await MeshClient.ConnectAsync(new MeshClientOptions
        {
            Nodes = [mesh.Nodes[0].Endpoint],
            Deadline = TimeSpan.FromMilliseconds(37),
        });
        mesh.Nodes[0].Abort();
        mesh.Nodes.RemoveAt(0);
        var key = new MeshKey("k");
        var limit = TimeSpan.FromMilliseconds(37);
        var put = (await client.TryPutAsync(key, new byte[10], new PutOptions { Deadline = limit })).Error;
        var large = (await client.TryPutAsync(key, new byte[100_000], new PutOptions { Deadline = limit })).Error;
        var get = (await client.TryGetAsync(key, new GetOptions { Deadline = limit })).Error;
        var exists = (await client.TryExistsAsync(key)).Error;
        var remove = (await client.TryRemoveAsync(key)).Error;
        foreach (var error in new[] { put, large, get, exists, remove })
        {
            Assert.NotNull(error);
            Assert.Contains(error.Code, new[] { MeshErrorCode.Unavailable, MeshErrorCode.DeadlineExceeded });
            Assert.Contains("37 ms", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_mesh_without_memory_refuses_puts_and_says_why()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 0);
        await using var client = await mesh.ClientAsync();
        var put = await client.TryPutAsync(new MeshKey("k"), new byte[10],
            new PutOptions { Deadline = TimeSpan.FromMilliseconds(50) });
        Assert.Equal(MeshErrorCode.Unavailable, put.Error?.Code);
        Assert.Contains("memory", put.Error!.Message, StringComparison.Ordinal);
        Assert.False(await client.ExistsAsync(new MeshKey("k")));
    }

    [Fact]
    public async Task Connecting_to_nobody_ends_and_names_the_address()
    {
        var refused = await MeshClient.TryConnectAsync(new MeshClientOptions
        {
            Nodes = ["127.0.0.1:1"],
            ConnectTimeout = TimeSpan.FromMilliseconds(50),
        });
        Assert.Equal(MeshErrorCode.Unavailable, refused.Error?.Code);
        Assert.Contains("127.0.0.1:1", refused.Error!.Message, StringComparison.Ordinal);
    }
}
