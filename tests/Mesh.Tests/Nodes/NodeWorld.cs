// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>Whole nodes on one simulated clock, network and registry; each with a scheduler of its own.</summary>
internal sealed class NodeWorld
{
    private readonly List<WorldNode> _nodes = [];
    private int _seed;

    public NodeWorld(int seed = 1)
    {
        _seed = seed * 1000;
        Store = new EmbeddedRegistryStore(Time, RandomSource.FromSeed(seed));
        Network = new WorldNetwork(Time);
    }

    public ManualTimeProvider Time { get; } = new();

    public EmbeddedRegistryStore Store { get; }

    public WorldNetwork Network { get; }

    public LineLog Log { get; } = new();

    public IReadOnlyList<WorldNode> Nodes => _nodes;

    /// <summary>The latest life of a node.</summary>
    public WorldNode this[string id] => _nodes.Last(n => n.Id == id);

    /// <summary>Nodes "n1", "n2"... that are ready and in one view.</summary>
    public static NodeWorld Started(int nodes, int slots = 64)
    {
        var world = new NodeWorld();
        for (int i = 1; i <= nodes; i++)
            Assert.Null(world.Start($"n{i}", slots).Error);
        world.AssertSettles();
        return world;
    }

    /// <summary>Starts a node, or another life of one.</summary>
    public MeshResult<WorldNode> Start(string id, int slots = 64, Func<MeshNodeOptions, MeshNodeOptions>? with = null)
    {
        var begun = Begin(id, slots, with);
        Assert.True(Until(() => begun.Started.IsCompleted, TimeSpan.FromMinutes(2)), "the start did not end");
        var result = begun.Started.GetAwaiter().GetResult();
        return result.Succeeded ? begun : result.Error!;
    }

    /// <summary>The same without waiting for its end. On a host of its own the network knows it by that name.</summary>
    public WorldNode Begin(string id, int slots = 64, Func<MeshNodeOptions, MeshNodeOptions>? with = null,
        string? host = null)
    {
        var node = new WorldNode(this, id, ++_seed, host ?? id);
        var options = new MeshNodeOptions
        {
            NodeId = id,
            Slots = slots,
            Segments = [new SegmentOptions { Length = 8 << 20, HugePages = false, PreTouch = false }],
        };
        _nodes.Add(node);
        node.Begin(with is null ? options : with(options));
        return node;
    }

    /// <summary>Runs all that is ready at every node that is not stopped.</summary>
    public void Pump()
    {
        while (_nodes.Find(n => !n.Stopped && !n.Scheduler.IsIdle) is { } next)
            next.Scheduler.Pump();
    }

    public void Advance(TimeSpan by)
    {
        Pump();
        Time.Advance(by, Pump);
        Pump();
    }

    /// <summary>Advances from timer to timer until <paramref name="condition"/> holds.</summary>
    public bool Until(Func<bool> condition, TimeSpan limit)
    {
        var end = Time.Elapsed + limit;
        Pump();
        while (!condition())
        {
            if (Time.NextDue is not { } next || next > end)
                return false;
            Time.Advance(next > Time.Elapsed ? next - Time.Elapsed : TimeSpan.Zero, Pump);
            Pump();
        }

        return true;
    }

    public T Run<T>(WorldNode at, Func<Task<T>> work)
    {
        var task = at.Runtime.Start(work);
        Assert.True(Until(() => task.IsCompleted, TimeSpan.FromMinutes(1)), "the call did not end");
        return task.GetAwaiter().GetResult();
    }

    /// <summary>Every living node is ready, and all have one view of exactly them.</summary>
    public bool IsSettled()
    {
        var living = _nodes.FindAll(n => n.IsUp);
        return living.TrueForAll(n => n.Node.Ready && !n.Node.Degraded
            && n.Node.View.Id.Digest == living[0].Node.View.Id.Digest
            && n.Node.View.Members.Count == living.Count && n.Node.Owner!.Owner.Confident);
    }

    public void AssertSettles(double seconds = 60) =>
        Assert.True(Until(IsSettled, TimeSpan.FromSeconds(seconds)), string.Join("\n", _nodes.Where(n => n.IsUp)
            .Select(n => $"{n.Id}: {n.Node.View.Id} {n.Node.View.Members.Count} {n.Node.NotReadyReason}")));

    /// <summary>A key of this primary, whose backup is not <paramref name="not"/>.</summary>
    public string KeyOwnedBy(string primary, string not = "", int skip = 0)
    {
        var view = Nodes.First(n => n.IsUp).Node.View;
        for (int i = 0; ; i++)
        {
            int slot = view.SlotOf(new MeshKey($"key-{i}").Hash);
            if (view.Owner(slot, 0)!.NodeId == primary && view.Owner(slot, 1)!.NodeId != not && skip-- == 0)
                return $"key-{i}";
        }
    }

    /// <summary>A key that has these owners, in this order.</summary>
    public MeshKey KeyOf(params string[] owners)
    {
        var view = Nodes.First(n => n.IsUp).Node.View;
        for (int i = 0; ; i++)
        {
            var key = new MeshKey($"key-{i}");
            int slot = view.SlotOf(key.Hash);
            if (owners.Index().All(owner => view.Owner(slot, owner.Index)!.NodeId == owner.Item))
                return key;
        }
    }

    /// <summary>Changes a node's share of the ring, and waits until all have heard of it.</summary>
    public void Weigh(string id, int weight)
    {
        var membership = this[id].Node.Membership;
        Run(this[id], async () =>
        {
            await membership.UpdateAsync(self => self with { Ring = self.Ring with { Weight = weight } },
                CancellationToken.None);
            return true;
        });
        AssertSettles();
    }

    public MeshResult<bool> Remove(string at, string key) => Run(this[at],
        () => this[at].Node.Operations.RemoveAsync(new MeshKey(key), null, CancellationToken.None));

    public MeshResult<PutOutcome> Put(string at, string key, byte[] value, string? holder = null)
    {
        var options = holder is null
            ? new PutOptions()
            : new PutOptions { Placement = Placement.Preferred, PreferredNode = holder };
        return Run(this[at], () => this[at].Node.Operations.PutAsync(new MeshKey(key), value, options,
            CancellationToken.None));
    }

    /// <summary>The value, empty for a miss.</summary>
    public MeshResult<byte[]> Get(string at, string key)
    {
        using var target = new ArrayTarget();
        var got = Run(this[at], () => this[at].Node.Operations.GetAsync(new MeshKey(key), target, null,
            CancellationToken.None));
        if (got.Succeeded)
            return target.Array.ToArray();
        return got.Error!.Code == MeshErrorCode.NotFound ? Array.Empty<byte>() : got.Error;
    }

    /// <summary>Collects what the nodes log.</summary>
    internal sealed class LineLog : ILoggerFactory, ILogger
    {
        public List<string> Lines { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) =>
            Lines.Add($"{logLevel} {formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }
}

/// <summary>One life of a node.</summary>
internal sealed class WorldNode
{
    private readonly NodeWorld _world;
    private readonly string _host;
    private MeshNode? _node;

    public WorldNode(NodeWorld world, string id, int seed, string host)
    {
        _world = world;
        _host = host;
        Id = id;
        Runtime = new MeshRuntime
        {
            Time = world.Time,
            Scheduler = Scheduler,
            Random = RandomSource.FromSeed(seed),
            Network = world.Network.Of(host),
            Log = world.Log,
        };
        Registry = new EmbeddedRegistry(world.Store, Runtime);
    }

    public string Id { get; }

    public SingleThreadScheduler Scheduler { get; } = new();

    public MeshRuntime Runtime { get; }

    public EmbeddedRegistry Registry { get; }

    public MeshNode Node => _node ?? throw new InvalidOperationException($"{Id} has not started");

    public Task<MeshResult<MeshNode>> Started { get; private set; } = null!;

    /// <summary>Stands still, as after SIGSTOP.</summary>
    public bool Stopped { get; set; }

    public bool IsUp => _node is not null && !IsDead;

    public bool IsDead { get; private set; }

    public void Begin(MeshNodeOptions options) => Started = Runtime.Start(async () =>
    {
        var started = await MeshNode.StartAsync(options, Registry, Runtime, CancellationToken.None);
        if (started.Succeeded)
            _node = started.Value;
        return started;
    });

    /// <summary>Ends as after SIGKILL.</summary>
    public void Kill()
    {
        IsDead = true;
        Node.Abort();
        _world.Network.Kill(_host);
        _world.Pump();
    }
}
