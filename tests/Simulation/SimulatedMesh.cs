// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Simulation;

/// <summary>What a run is like.</summary>
internal sealed record MeshShape
{
    /// <summary>Machines, each with room for a node.</summary>
    public required int Machines { get; init; }

    /// <summary>Machines whose node runs from the start; the others join.</summary>
    public required int FirstNodes { get; init; }

    /// <summary>Different keys that clients use.</summary>
    public required int Keys { get; init; }

    /// <summary>Mean pause of a client between two calls, in microseconds.</summary>
    public required int MeanPause { get; init; }

    /// <summary>Longest time for a slice of a one-sided read on a congested way, in microseconds.</summary>
    public required int SlowestSlice { get; init; }

    /// <summary>The nodes.</summary>
    public required NodeShape Node { get; init; }
}

/// <summary>A mesh of simulated nodes and its clients.</summary>
internal sealed class SimulatedMesh
{
    private readonly SimulatedNode?[] _nodes;
    private readonly List<SimulatedNode> _twins = [];
    private readonly Func<MeshRuntime, MeshRuntime> _adapt;
    private readonly List<SimulatedClient> _clients = [];
    private bool _pastLost;

    public SimulatedMesh(SimulatedWorld world, MeshShape shape, Func<MeshRuntime, MeshRuntime>? adapt = null)
    {
        World = world;
        Shape = shape;
        _adapt = adapt ?? (static runtime => runtime);
        Memory = new CallerMemory(world);
        Observer = new MeshObserver(this);
        _nodes = new SimulatedNode?[shape.Machines];
    }

    public SimulatedWorld World { get; }

    public MeshShape Shape { get; }

    public CallerMemory Memory { get; }

    public MeshObserver Observer { get; }

    public RunHistory History { get; } = new();

    /// <summary>The present life of every node that has had one.</summary>
    public IEnumerable<SimulatedNode> Nodes => _nodes.OfType<SimulatedNode>().Concat(_twins);

    /// <summary>Whether every client has made all its calls.</summary>
    public bool ClientsDone => _clients.TrueForAll(client => client.IsDone);

    /// <summary>The node of a machine in its present life, or null.</summary>
    public SimulatedNode? NodeOn(int machine) => _nodes[machine];

    /// <summary>The node that has this incarnation, and memory that can be read.</summary>
    public SimulatedNode? Holder(ulong incarnation)
    {
        foreach (var node in Nodes)
        {
            if (node is { HasMemory: true } && node.Incarnation == incarnation)
                return node;
        }

        return null;
    }

    /// <summary>What a node or a client runs on.</summary>
    public MeshRuntime RuntimeOf(SimulatedProcess process, MeshRuntime runtime) => _adapt(runtime with
    {
        MoreTransports = parts => [new SimulatedOneSided(this, process, parts.Runtime)],
    });

    /// <summary>Starts a node on a machine, unless one runs there.</summary>
    public SimulatedNode Start(int machine)
    {
        if (_nodes[machine] is { Process.IsDead: false } running)
            return running;
        NoteBeginning();
        return _nodes[machine] = SimulatedNode.Start(World, machine, $"n{machine}", Shape.Node, RuntimeOf);
    }

    /// <summary>The registry was wiped or set back: only nodes that live then know its past.</summary>
    public void PastLost() => _pastLost = true;

    /// <summary>Kills the node of a machine.</summary>
    public void Kill(int machine, bool withMachine)
    {
        if (_nodes[machine] is not { Process.IsDead: false } node)
            return;
        node.Kill(withMachine);
        foreach (var client in _clients)
            client.Killed(node.Process);
    }

    /// <summary>Starts a second process with the name of a machine's node, on another machine.</summary>
    public SimulatedNode StartTwin(int machine, int onMachine)
    {
        NoteBeginning();
        var twin = SimulatedNode.Start(World, onMachine, $"n{machine}", Shape.Node, RuntimeOf);
        _twins.Add(twin);
        return twin;
    }

    /// <summary>A node starts: nobody may be left who could tell the registry how far the mesh had come.</summary>
    private void NoteBeginning()
    {
        if (!_pastLost || !Nodes.All(node => node.Process.IsDead))
            return;
        History.Begins(World.Clock.Microseconds);
        _pastLost = false;
    }

    /// <summary>Kills a second process.</summary>
    public void KillTwin(SimulatedNode twin)
    {
        _twins.Remove(twin);
        twin.Kill(withMachine: false);
    }

    /// <summary>Has the node of a machine leave.</summary>
    public void Leave(int machine, TimeSpan grace)
    {
        if (_nodes[machine] is not { IsUp: true, Process.IsStopped: false } node)
            return;
        node.Leave(grace, () => _clients.ForEach(client => client.Killed(node.Process)));
    }

    /// <summary>Adds a client that lives on a machine.</summary>
    public void AddClient(int machine, bool inNode, int calls)
    {
        var client = new SimulatedClient(this, _clients.Count, new ClientHome(this, machine, inNode));
        _clients.Add(client);
        client.Start(calls);
    }

    /// <summary>No client makes another call.</summary>
    public void StopClients() => _clients.ForEach(client => client.Stop());

    /// <summary>Ends every process.</summary>
    public void End()
    {
        foreach (var node in Nodes)
            node.Kill(withMachine: true);
    }
}
