// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Membership;

/// <summary>Nodes over one embedded store in a deterministic world.</summary>
internal sealed class MembershipCluster
{
    public static readonly TimeSpan Ttl = TimeSpan.FromSeconds(10);

    private ulong _incarnation = 100;

    public MembershipCluster(int seed = 1)
    {
        World = new DeterministicWorld(seed, log: Log);
        Store = new EmbeddedRegistryStore(World.Time, World.Runtime.Random);
    }

    public DeterministicWorld World { get; }

    public EmbeddedRegistryStore Store { get; }

    public LineCounter Log { get; } = new();

    public List<TestNode> Nodes { get; } = [];

    public IEnumerable<TestNode> Living => Nodes.Where(node => !node.Gone);

    public static MembershipCluster Started(int nodes, int seed = 1)
    {
        var cluster = new MembershipCluster(seed);
        for (int i = 1; i <= nodes; i++)
            Assert.Null(cluster.Start($"n{i}").Result.Error);
        cluster.World.Advance(TimeSpan.FromSeconds(1));
        cluster.AssertSettled(nodes);
        return cluster;
    }

    public TestNode Make(string id, MembershipOptions? options = null, ulong incarnation = 0)
    {
        var registry = new EmbeddedRegistry(Store, World.Runtime);
        var node = new TestNode(id, incarnation == 0 ? ++_incarnation : incarnation, registry,
            new MembershipService(options ?? new MembershipOptions { Slots = 256 }, registry, World.Runtime));
        node.Service.OnViewChanged((previous, next) =>
        {
            // The chain has no gap and never goes back.
            Assert.Same(node.Views.LastOrDefault() ?? MeshView.Empty, previous);
            Assert.True(next.Id.CompareTo(previous.Id) >= 0, $"{previous.Id} -> {next.Id}");
            node.Views.Add(next);
        });
        Nodes.Add(node);
        return node;
    }

    public (TestNode Node, MeshResult<MeshView> Result) Start(
        string id, MembershipOptions? options = null, ulong incarnation = 0)
    {
        var node = Make(id, options, incarnation);
        var result = World.Run(() => node.StartAsync());
        node.Gone = !result.Succeeded;
        return (node, result);
    }

    /// <summary>All living nodes are registered, nothing is degraded, and all hold one view of all of them.</summary>
    public bool Settled(int members) =>
        Living.All(node => node.Service.Status is { Registered: true, Degraded: false }) &&
        Living.Select(
            node => (node.View.Id.Epoch, node.View.Id.Digest, node.View.Config.MeshId)).Distinct().Count() == 1 &&
        Living.All(node => node.View.Members.Count == members) &&
        Living.All(node => node.View.Find(node.Id, node.Incarnation)?.Session == node.Service.Status.Lease);

    public void AssertSettled(int members) =>
        Assert.True(Settled(members), string.Join("\n", Living.Select(node => $"{node.Id}: {node.Service.Status} " +
            string.Join(",", node.View.Members.Select(m => $"{m.NodeId}@{m.Session:x}")))));

    public void AssertSettlesWithin(int members, TimeSpan limit)
    {
        World.Until(() => Settled(members), limit);
        AssertSettled(members);
    }

    /// <summary>All living nodes have found out that the registry lost its past, and settle.</summary>
    public void AssertReachesEpoch(long epoch, int members, TimeSpan limit)
    {
        World.Until(() => Living.All(node => node.View.Id.Epoch >= epoch) && Settled(members), limit);
        AssertSettled(members);
    }

    public void FaultAll(EmbeddedFault fault)
    {
        foreach (var node in Nodes)
            node.Registry.SetFault(fault);
    }

    internal sealed class TestNode(string id, ulong incarnation, EmbeddedRegistry registry, MembershipService service)
    {
        public string Id => id;

        public ulong Incarnation => incarnation;

        public EmbeddedRegistry Registry => registry;

        public MembershipService Service => service;

        public MeshView View => service.View;

        public List<MeshView> Views { get; } = [];

        public bool Gone { get; set; }

        public Task<MeshResult<MeshView>> StartAsync(CancellationToken cancel = default) => service.StartAsync(
            new NodeRecord { NodeId = id, Incarnation = incarnation, Endpoints = [$"{id}:7000"] }, cancel);

        public void Kill()
        {
            service.Abort();
            Gone = true;
        }
    }

    internal sealed class LineCounter : ILoggerFactory, ILogger
    {
        public int Lines { get; private set; }

        public int Errors { get; private set; }

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            Lines++;
            if (exception is not null)
                Errors++;
        }

        public void Dispose()
        {
        }
    }
}
