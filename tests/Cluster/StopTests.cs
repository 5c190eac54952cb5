// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;

namespace Mooncake.Mesh.Cluster;

/// <summary>SIGTERM.</summary>
[Trait("needs", "etcd")]
public sealed class StopTests
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(2);

    [Fact]
    public async Task Its_keys_are_served_for_the_grace_and_its_lease_is_revoked()
    {
        await using var mesh = await ServeMesh.StartAsync(2);
        var node = await mesh.AddAsync("n3", "--grace", "2s");
        await mesh.SettlesAsync(ServeMesh.Ttl * 2);
        await mesh.FillAsync("stop", 300);
        var held = (await mesh.HoldersAsync("stop")).Where(h => h.Value == "n3").Select(h => h.Key).ToList();
        Assert.InRange(held.Count, 50, 150);

        long signalled = TimeProvider.System.GetTimestamp();
        node.Terminate();
        using var exited = new CancellationTokenSource();
        var readers = new[] { Task.Run(() => ReadAsync(mesh, held, signalled, exited.Token)),
            Task.Run(() => ReadAsync(mesh, held, signalled, exited.Token)) };
        await Eventually.AsyncTrue(() => SaysLeavingAsync(mesh), TimeSpan.FromSeconds(1.5), "n3 is not leaving");
        int code = await node.ExitAsync(Grace + TimeSpan.FromSeconds(20));
        double took = TimeProvider.System.GetElapsedTime(signalled).TotalSeconds;
        var left = await mesh.RegistrationsAsync();
        mesh.Remove(node);
        await Task.WhenAny(Task.WhenAll(readers), mesh.SettlesAsync(ServeMesh.Ttl));
        await exited.CancelAsync();
        var counts = await Task.WhenAll(readers);

        Figures.Print($"SIGTERM with a grace of 2 s: ended after {took:0.00} s; {counts.Sum(c => c.Hits)} hits, " +
            $"{counts.Sum(c => c.Misses)} misses");
        Assert.Equal(0, code);
        Assert.InRange(took, Grace.TotalSeconds, Grace.TotalSeconds + 2);
        Assert.Equal(["n1", "n2"], left.Keys.Order(StringComparer.Ordinal));
        Assert.All(node.Log, line => Assert.DoesNotContain("Exception", line, StringComparison.Ordinal));
        Assert.All(counts, c => Assert.True(c.Hits > 0));
        Assert.Single(node.Output);
    }

    [Fact]
    public async Task An_etcd_that_hangs_makes_the_grace_no_longer()
    {
        await using var mesh = await ServeMesh.StartAsync(1);
        var node = await mesh.AddAsync("n2", "--grace", "2s");
        await mesh.SettlesAsync(ServeMesh.Ttl * 2);
        mesh.Etcd.Suspend();
        long signalled = TimeProvider.System.GetTimestamp();
        node.Terminate();
        Assert.Equal(0, await node.ExitAsync(TimeSpan.FromSeconds(30)));
        double took = TimeProvider.System.GetElapsedTime(signalled).TotalSeconds;
        Figures.Print($"SIGTERM with a grace of 2 s while etcd hangs: ended after {took:0.00} s");
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

    /// <summary>Gets the leaving node's keys in a loop: hits during the grace, hits or clean misses after it.</summary>
    private static async Task<(int Hits, int Misses)> ReadAsync(
        ServeMesh mesh, List<MeshKey> held, long signalled, CancellationToken stop)
    {
        int hits = 0, misses = 0;
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            var key = held[i % held.Count];
            var got = await mesh.Client.TryGetAsync(key, null, CancellationToken.None);
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
