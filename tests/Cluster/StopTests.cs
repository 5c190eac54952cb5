// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Cluster;

/// <summary>SIGTERM.</summary>
[Trait("needs", "etcd")]
public sealed class StopTests
{
    private const int SignalTerm = 143;
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    [Fact]
    public async Task Its_keys_are_served_for_the_grace_and_its_lease_is_revoked()
    {
        await using var mesh = await ServeMesh.StartAsync(2);
        var node = await mesh.AddAsync("n3", "--grace", "5s");
        await mesh.SettlesAsync(ServeMesh.Ttl * 2);
        await using var one = await mesh.ConnectAsync();
        await using var other = await mesh.ConnectAsync();
        await mesh.FillAsync("stop", 300);
        var held = (await mesh.HoldersAsync("stop")).Where(h => h.Value == "n3").Select(h => h.Key).ToList();
        Assert.InRange(held.Count, 50, 150);
        long lease = (await mesh.RegistrationsAsync())["n3"];

        long signalled = TimeProvider.System.GetTimestamp();
        node.Terminate();
        using var exited = new CancellationTokenSource();
        var readers = new[] { Task.Run(() => ReadAsync(one, held, signalled, exited.Token)),
            Task.Run(() => ReadAsync(other, held, signalled, exited.Token)) };
        await Eventually.AsyncTrue(() => SaysLeavingAsync(mesh), TimeSpan.FromSeconds(1.5), "n3 is not leaving");
        Assert.False(node.HasExited);
        int code = await node.ExitAsync(Grace + TimeSpan.FromSeconds(20));
        double took = TimeProvider.System.GetElapsedTime(signalled).TotalSeconds;
        var left = await mesh.RegistrationsAsync();
        string leases = await mesh.Etcd.CtlAsync("lease", "list");
        mesh.Remove(node);
        await Task.WhenAny(Task.WhenAll(readers), mesh.SettlesAsync(ServeMesh.Ttl));
        await exited.CancelAsync();
        var counts = await Task.WhenAll(readers);

        Figures.Print($"SIGTERM with a grace of 5 s: ended after {took:0.00} s; {counts.Sum(c => c.Hits)} hits, " +
            $"{counts.Sum(c => c.Misses)} misses");
        Assert.Equal(0, code);
        Assert.InRange(took, Grace.TotalSeconds, Grace.TotalSeconds + 2);
        Assert.Equal(["n1", "n2"], left.Keys.Order(StringComparer.Ordinal));
        Assert.DoesNotContain($"{lease:x}", leases, StringComparison.Ordinal);
        Assert.All(node.Log, line => Assert.DoesNotContain("Exception", line, StringComparison.Ordinal));
        Assert.All(counts, c => Assert.True(c.Hits > 0));
        Assert.Single(node.Output);
    }

    [Fact]
    public async Task An_etcd_that_hangs_makes_the_grace_no_longer()
    {
        await using var mesh = await ServeMesh.StartAsync(1);
        var node = await mesh.AddAsync("n2", "--grace", "5s");
        await mesh.SettlesAsync(ServeMesh.Ttl * 2);
        mesh.Etcd.Suspend();
        long signalled = TimeProvider.System.GetTimestamp();
        node.Terminate();
        Assert.Equal(0, await node.ExitAsync(TimeSpan.FromSeconds(30)));
        double took = TimeProvider.System.GetElapsedTime(signalled).TotalSeconds;
        Figures.Print($"SIGTERM with a grace of 5 s while etcd hangs: ended after {took:0.00} s");
        Assert.InRange(took, Grace.TotalSeconds, Grace.TotalSeconds + 3);
        mesh.Etcd.Resume();
        mesh.Remove(node);
        // Its lease could not be revoked, and whoever is missing after an outage is waited for.
        await mesh.SettlesAsync(ServeMesh.Ttl * 5);
    }

    [Fact]
    public async Task A_second_signal_cuts_the_grace_short()
    {
        await using var mesh = await ServeMesh.StartAsync(1);
        var node = await mesh.AddAsync("n2", "--grace", "60s");
        node.Terminate();
        await Eventually.True(() => node.Log.Any(l => l.Contains("node.leaving", StringComparison.Ordinal)),
            TimeSpan.FromSeconds(10), () => "no sign of leaving");
        long second = TimeProvider.System.GetTimestamp();
        node.Terminate();
        Assert.Equal(0, await node.ExitAsync(TimeSpan.FromSeconds(20)));
        Figures.Print($"second SIGTERM: ended {TimeProvider.System.GetElapsedTime(second).TotalSeconds:0.00} s later");
        Assert.Equal(["n1"], (await mesh.RegistrationsAsync()).Keys);
        mesh.Remove(node);
        await mesh.SettlesAsync(ServeMesh.Ttl);
    }

    [Fact]
    public async Task A_signal_during_the_start_ends_it()
    {
        // etcd hangs, so that the start cannot end before the signal.
        await using var mesh = await ServeMesh.StartAsync(0);
        mesh.Etcd.Suspend();
        await using var node = ServeProcess.Launch("n1", mesh.Arguments("n1"));
        await Eventually.True(() => node.Log.Any(l => l.Contains("admin.listening", StringComparison.Ordinal)),
            TimeSpan.FromSeconds(30), () => "the node does not start");
        node.Terminate();
        Assert.Equal(0, await node.ExitAsync(TimeSpan.FromSeconds(5)));
        Assert.Empty(node.Output);
        mesh.Etcd.Resume();
        Assert.Empty(await mesh.RegistrationsAsync());
    }

    [Fact]
    public async Task A_signal_at_any_moment_of_the_start_ends_it()
    {
        await using var mesh = await ServeMesh.StartAsync(0);
        var took = new List<string>();
        for (int milliseconds = 0; milliseconds <= 1200; milliseconds += 150)
        {
            string id = $"n{milliseconds}";
            await using var node = ServeProcess.Launch(id, mesh.Arguments(id, "--grace", "0s"));
            // A moment, and not the wait for a condition: which one it is does not matter.
            await Task.Delay(milliseconds, TestContext.Current.CancellationToken);
            long signalled = TimeProvider.System.GetTimestamp();
            node.Terminate();
            int code = await node.ExitAsync(TimeSpan.FromSeconds(10));
            took.Add($"{TimeProvider.System.GetElapsedTime(signalled).TotalSeconds:0.00}");
            // Before the program itself runs, the signal ends the process.
            Assert.True(code is 0 or SignalTerm, $"exit code {code} after {milliseconds} ms:\n"
                + string.Join('\n', node.Log));
            Assert.All(node.Log, line => Assert.DoesNotContain("Exception", line, StringComparison.Ordinal));
            Assert.Empty(await mesh.RegistrationsAsync());
        }

        Figures.Print($"SIGTERM during the start: ended after {string.Join(", ", took)} s");
    }

    [Fact]
    public async Task A_second_signal_under_load_ends_the_drain_and_readers_see_clean_misses()
    {
        await using var mesh = await ServeMesh.StartAsync(2);
        var node = await mesh.AddAsync("n3", "--grace", "60s");
        await mesh.SettlesAsync(ServeMesh.Ttl * 2);
        await using var reader = await mesh.ConnectAsync();
        await mesh.FillAsync("cut", 300);
        var held = (await mesh.HoldersAsync("cut")).Where(h => h.Value == "n3").Select(h => h.Key).ToList();
        node.Terminate();
        using var stop = new CancellationTokenSource();
        long cut = long.MaxValue;
        int hits = 0;
        var reading = Task.Run(() => ReadUntilAsync(reader, held, () => Interlocked.Increment(ref hits),
            () => Volatile.Read(ref cut), stop.Token));
        await Eventually.True(() => node.Log.Any(l => l.Contains("node.leaving", StringComparison.Ordinal))
            && Volatile.Read(ref hits) > 20, TimeSpan.FromSeconds(20), () => "no sign of leaving, or no hits");
        Volatile.Write(ref cut, TimeProvider.System.GetTimestamp());
        node.Terminate();
        Assert.Equal(0, await node.ExitAsync(TimeSpan.FromSeconds(20)));
        mesh.Remove(node);
        await mesh.SettlesAsync(ServeMesh.Ttl * 2);
        await stop.CancelAsync();
        await reading;
    }

    /// <summary>Gets keys in a loop; a miss is clean, and none comes before the second signal.</summary>
    private static async Task ReadUntilAsync(MeshClient client, List<MeshKey> held, Action hit, Func<long> cut,
        CancellationToken stop)
    {
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            var key = held[i % held.Count];
            bool before = TimeProvider.System.GetTimestamp() < cut();
            var got = await client.TryGetAsync(key, null, CancellationToken.None);
            if (got.Succeeded)
            {
                hit();
                Assert.Equal(Content.Of(key), got.Value);
                continue;
            }

            Assert.True(got.Error!.Code == MeshErrorCode.NotFound, got.Error.ToString());
            Assert.True(!before || TimeProvider.System.GetTimestamp() >= cut(), $"a miss while it serves: {got.Error}");
        }
    }

    /// <summary>Gets the leaving node's keys in a loop: hits during the grace, hits or clean misses after it.</summary>
    private static async Task<(int Hits, int Misses)> ReadAsync(
        MeshClient client, List<MeshKey> held, long signalled, CancellationToken stop)
    {
        int hits = 0, misses = 0;
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            var key = held[i % held.Count];
            var got = await client.TryGetAsync(key, null, CancellationToken.None);
            var since = TimeProvider.System.GetElapsedTime(signalled);
            if (got.Succeeded)
            {
                hits++;
                Assert.Equal(Content.Of(key), got.Value);
                continue;
            }

            misses++;
            Assert.True(got.Error!.Code == MeshErrorCode.NotFound, $"+{since.TotalSeconds:0.000} s: {got.Error}");
            Assert.True(since > Grace, $"a miss +{since.TotalSeconds:0.000} s after the signal: {got.Error}");
        }

        return (hits, misses);
    }

    private static async Task<bool> SaysLeavingAsync(ServeMesh mesh)
    {
        string text = await mesh.Etcd.CtlAsync(
            "get", "--print-value-only", $"/mooncake-mesh/{ServeMesh.Cluster}/nodes/n3");
        using var json = JsonDocument.Parse(text);
        return json.RootElement.GetProperty("ring").GetProperty("leaving").GetBoolean();
    }
}
