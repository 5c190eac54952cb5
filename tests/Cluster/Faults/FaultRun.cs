// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>A mesh under a load whose calls are kept and checked, while nodes come and go.</summary>
internal sealed class FaultRun : IAsyncDisposable
{
    /// <summary>How much later than its deadline a call may return: the machine is shared by ten processes.</summary>
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private const string Segments = "64MiB";
    private static readonly string[] Flags = ["--grace", "500ms"];

    private FaultRun(ServeMesh mesh, LoadOptions options)
    {
        Mesh = mesh;
        Lives = new NodeLives(Clock);
        foreach (var node in mesh.Nodes)
            Lives.Begin(node.NodeId);
        Load = new HistoryLoad(mesh, Lives, Clock, Log, options);
    }

    public ServeMesh Mesh { get; }

    public RunClock Clock { get; } = new();

    public NodeLives Lives { get; }

    public CallLog Log { get; } = new();

    public HistoryLoad Load { get; }

    /// <summary>Starts nodes and the load.</summary>
    /// <param name="network">Where they run; null: on this host.</param>
    /// <param name="nodes">How many.</param>
    /// <param name="seed">Of the load.</param>
    /// <param name="options">What the load does.</param>
    /// <param name="environment">Further variables of the nodes, on this host.</param>
    public static async Task<FaultRun> StartAsync(FaultNetwork? network, int nodes, int seed, LoadOptions options,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        var mesh = network is null
            ? await ServeMesh.StartAsync(environment is null ? nodes : 0, Segments, null, Flags)
            : await ServeMesh.StartOnAsync(network, nodes, Segments, Flags);
        for (int i = 1; environment is not null && i <= nodes; i++)
            await mesh.AddAsync($"n{i}", environment);
        await mesh.SettlesAsync(Limit);
        var run = new FaultRun(mesh, options);
        run.Load.Start(seed);
        await run.Load.GoesOnAsync();
        return run;
    }

    /// <summary>SIGTERM, the end, a new process of the same id, and a mesh that has settled with it.</summary>
    public async Task RestartAsync(string nodeId, IReadOnlyDictionary<string, string>? environment = null)
    {
        var node = Mesh.Node(nodeId);
        Lives.End(nodeId);
        node.Terminate();
        Assert.Equal(0, await node.ExitAsync(Limit));
        Mesh.Remove(node);
        await BeginAsync(nodeId, environment);
    }

    /// <summary>The same with SIGKILL.</summary>
    public async Task KillAndRestartAsync(string nodeId)
    {
        var node = Mesh.Node(nodeId);
        Lives.End(nodeId);
        Mesh.Kill(node);
        await node.ExitAsync(Limit);
        await BeginAsync(nodeId);
    }

    /// <summary>Starts a node, and waits until the mesh has settled with it.</summary>
    public async Task BeginAsync(string nodeId, IReadOnlyDictionary<string, string>? environment = null)
    {
        await Mesh.AddAsync(nodeId, environment ?? new Dictionary<string, string>());
        Lives.Begin(nodeId);
        await SettlesAsync();
    }

    /// <summary>
    /// A node is not counted on while <paramref name="fault"/> lasts, and until the mesh has settled.
    /// </summary>
    public async Task WithoutAsync(string nodeId, Func<Task> fault)
    {
        var life = Lives.Of(nodeId)!;
        life.Leave(Clock.Now);
        await fault();
        await SettlesAsync();
        life.Return(Clock.Now);
    }

    /// <summary>
    /// Waits until all nodes agree on their view, have every slot they own, owe nothing, and the load goes on.
    /// </summary>
    public async Task<NodeStatus[]> SettlesAsync()
    {
        NodeStatus[] states = [];
        await Eventually.AsyncTrue(async () =>
        {
            states = await Mesh.SettlesAsync(Limit);
            return states.All(s => s.Slots is { Incomplete: 0, Owed: 0 });
        }, Limit, "slots stay incomplete, or debts unpaid");
        await Load.GoesOnAsync();
        return states;
    }

    /// <summary>Ends the load, and asserts what callers may rely on.</summary>
    /// <param name="what">For the figure.</param>
    /// <param name="failures">How many reads may fail, of keys that nobody need hold; null: any.</param>
    public async Task EndsWellAsync(string what, int? failures = null)
    {
        await Load.StopAsync();
        var calls = Log.Calls;
        var reads = calls.Where(c => c.Kind is CallKind.Get or CallKind.Exists).ToArray();
        int failed = reads.Count(c => c.Outcome == CallOutcome.Unknown);
        int lost = calls.Count(c => c.Kind is CallKind.Put or CallKind.Upsert && c.Outcome
            is CallOutcome.Unknown or CallOutcome.Refused);
        long longest = calls.Max(c => c.End - c.Start);
        Figures.Print($"{what}: {calls.Length} calls, of which {reads.Length} reads: " +
            $"{reads.Count(c => c.Outcome == CallOutcome.Done)} found, " +
            $"{reads.Count(c => c.Outcome == CallOutcome.NotFound)} clean misses, {failed} failed; " +
            $"{lost} puts failed; longest call {longest / 1000} ms");
        var broken = HistoryChecker.Check(calls, (long)Slack.TotalMicroseconds);
        if (broken.Count > 0)
        {
            Assert.Fail($"{what}: {broken.Count} violations\n{string.Join('\n', broken.Take(10))}\n"
                + await TellAsync());
        }

        var (count, text) = Load.FailedWhileHeld;
        if (count > 0)
            Assert.Fail($"{what}: {count} reads failed while a holder served\n{text}\n{await TellAsync()}");
        if (failed > failures)
        {
            var told = reads.Where(c => c.Outcome == CallOutcome.Unknown).Take(10);
            Assert.Fail($"{what}: {failed} reads failed\n{string.Join('\n', told)}\n{await TellAsync()}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Load.DisposeAsync();
        await Mesh.DisposeAsync();
        Log.Dispose();
    }

    private Task<string> TellAsync() => Mesh.DescribeAsync();
}
