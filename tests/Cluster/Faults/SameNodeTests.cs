// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>
/// A node that is away for longer than its lease, in each of the ways there are, and comes back: it is the same holder,
/// with all it had, under a new lease where the old one has ended. What it was away from goes on.
/// </summary>
[Trait("needs", "etcd")]
public sealed class SameNodeTests
{
    private const string Node = "n3";
    private static readonly TimeSpan Away = ServeMesh.Ttl * 1.5;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Whatever_it_was_away_from_it_comes_back_with_its_objects()
    {
        await using var network = await FaultNetwork.StartAsync("etcd", "n1", "n2", Node);
        await using var run = await FaultRun.StartAsync(network, 3, 1, new LoadOptions { Replicas = 2 });
        var objects = await FillAsync(run);

        await ComesBackAsync(run, objects, "SIGSTOP past the lease", newLease: true, async () =>
        {
            run.Mesh.Node(Node).Suspend();
            await IsGoneAsync(run);
            run.Mesh.Node(Node).Resume();
        });
        await ComesBackAsync(run, objects, "cut off from etcd, not from its peers", newLease: true, async () =>
        {
            network.Set(Node, "etcd", new LinkFault(Cut: true));
            await IsGoneAsync(run);
            network.Set(Node, "etcd", LinkFault.None);
        });
        await ComesBackAsync(run, objects, "cut off from its peers, not from etcd", newLease: false, async () =>
        {
            network.Set(Node, "n1", new LinkFault(Cut: true));
            network.Set(Node, "n2", new LinkFault(Cut: true));
            await Task.Delay(Away);
            network.SetAll(Node, LinkFault.None);
        });
        await ComesBackAsync(run, objects, "not heard by its peers, whom it hears", newLease: false, async () =>
        {
            network.SetOneWay(Node, "n1", new LinkFault(Cut: true));
            network.SetOneWay(Node, "n2", new LinkFault(Cut: true));
            await Task.Delay(Away);
            network.SetAll(Node, LinkFault.None);
        });
        await run.EndsWellAsync("a node away, four times");
    }

    [Fact]
    public async Task Lost_and_late_frames_cost_time_alone()
    {
        await using var network = await FaultNetwork.StartAsync("etcd", "n1", "n2", Node);
        await using var run = await FaultRun.StartAsync(network, 3, 2, new LoadOptions
        {
            Replicas = 2,
            Deadline = TimeSpan.FromSeconds(5),
        });
        foreach (string node in (string[])["n1", "n2", Node])
            network.SetAll(node, new LinkFault(Loss: 0.01, Delay: TimeSpan.FromMilliseconds(5)));
        await run.Load.GoesOnAsync(600);
        foreach (string node in (string[])["n1", "n2", Node])
            network.SetAll(node, LinkFault.None);
        await run.SettlesAsync();
        await run.EndsWellAsync("1 % of all frames lost, all 5 ms late", failures: 0);
    }

    /// <summary>
    /// The lease of a killed process still runs: a new one of the same id takes its place at once where it finds the
    /// old lease in its runtime directory, and is refused where it does not. So is a second one beside a living one.
    /// </summary>
    [Fact]
    public async Task One_id_is_one_process()
    {
        await using var mesh = await ServeMesh.StartAsync(2, leaseTtl: TimeSpan.FromSeconds(20));
        var before = await mesh.RegistrationsAsync();
        string elsewhere = System.IO.Directory.CreateTempSubdirectory("mesh-twin-").FullName;
        string[] twin = [.. mesh.Arguments("n2").SkipLast(1), elsewhere];
        await IsRefusedAsync(twin);
        Assert.Equal(before, await mesh.RegistrationsAsync());
        await mesh.SettlesAsync(Limit);

        var killed = mesh.Node("n2");
        mesh.Kill(killed);
        await killed.ExitAsync(Limit);
        await IsRefusedAsync(twin);
        long start = TimeProvider.System.GetTimestamp();
        await mesh.AddAsync("n2");
        await mesh.SettlesAsync(Limit);
        Assert.InRange(TimeProvider.System.GetElapsedTime(start), TimeSpan.Zero, TimeSpan.FromSeconds(15));
        Assert.NotEqual(before["n2"], (await mesh.RegistrationsAsync())["n2"]);
        System.IO.Directory.Delete(elsewhere, recursive: true);
    }

    private static async Task IsRefusedAsync(string[] arguments)
    {
        await using var twin = ServeProcess.Launch("n2", arguments);
        Assert.NotEqual(0, await twin.ExitAsync(Limit));
        Assert.Contains(twin.Log, line => line.Contains("n2", StringComparison.Ordinal)
            && line.Contains("in use", StringComparison.Ordinal));
    }

    /// <summary>Objects of which the node has the only copy.</summary>
    private static async Task<MeshKey[]> FillAsync(FaultRun run)
    {
        MeshKey[] keys = [.. Enumerable.Range(0, 100).Select(i => new MeshKey($"only/{i}"))];
        foreach (var key in keys)
        {
            await run.Mesh.Client.PutAsync(key, Content.Of(key),
                new PutOptions { Placement = Placement.Preferred, PreferredNode = Node, Deadline = Limit });
        }

        var held = await run.Mesh.HoldersAsync("only/");
        Assert.All(keys, key => Assert.Equal(Node, held[key]));
        return keys;
    }

    /// <summary>The others have gone on without the node.</summary>
    private static Task IsGoneAsync(FaultRun run) => Eventually.AsyncTrue(async () =>
        (await run.Mesh.Node("n1").TryStatusAsync())?.View.Members.All(m => m.NodeId != Node) == true, Limit,
        $"{Node} is not dropped");

    private static async Task ComesBackAsync(FaultRun run, MeshKey[] objects, string what, bool newLease,
        Func<Task> fault)
    {
        var before = await run.Mesh.Node(Node).StatusAsync();
        long start = TimeProvider.System.GetTimestamp();
        await run.WithoutAsync(Node, fault);
        var after = await run.Mesh.Node(Node).StatusAsync();
        Assert.Equal(before.Incarnation, after.Incarnation);
        Assert.Equal(newLease, before.Session != after.Session);
        foreach (var key in objects)
        {
            var got = await run.Mesh.Client.TryGetAsync(key, new GetOptions { Deadline = Limit });
            Assert.True(got.Succeeded && got.Value.AsSpan().SequenceEqual(Content.Of(key)),
                $"{what}: {key}: {got.Error}");
        }

        Figures.Print($"{what}: settled with all its objects after " +
            $"{TimeProvider.System.GetElapsedTime(start).TotalSeconds:0.0} s");
        var (count, text) = run.Load.FailedWhileHeld;
        Assert.True(count == 0, $"{what}: {count} reads failed while a holder served\n{text}");
    }
}
