// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Simulation;

/// <summary>What the nodes of a simulated mesh are like.</summary>
internal sealed record NodeShape(int Slots, long SegmentBytes, TimeSpan LeaseTtl);

/// <summary>One life of a node of a simulated mesh: the real node, in a simulated process.</summary>
internal sealed class SimulatedNode
{
    private readonly SimulatedWorld _world;
    private MeshNode? _made;

    private SimulatedNode(SimulatedWorld world, SimulatedProcess process, string nodeId, EmbeddedRegistry registry)
    {
        _world = world;
        Process = process;
        NodeId = nodeId;
        Registry = registry;
    }

    public string NodeId { get; }

    public SimulatedProcess Process { get; }

    /// <summary>Its way to etcd.</summary>
    public EmbeddedRegistry Registry { get; }

    /// <summary>The node; null until it has started.</summary>
    public MeshNode? Node { get; private set; }

    /// <summary>Why it did not start, or null.</summary>
    public MeshError? Refusal { get; private set; }

    /// <summary>Whether it has been told to leave.</summary>
    public bool IsLeaving { get; private set; }

    /// <summary>Whether it has started, and neither ended nor been told to.</summary>
    public bool IsUp => Node is not null && !Process.IsDead && !IsLeaving;

    /// <summary>Its memory; null when it has none that can be looked at.</summary>
    public ObjectStore? Store => Node is null || Process.IsDead ? null : Node.Holder.Store;

    /// <summary>Whether it has memory: it has started, and its process neither died nor gave it up.</summary>
    public unsafe bool HasMemory => Store is { Segments: [var first, ..] } && first.Memory.Host!.Pointer is not null;

    /// <summary>Which life of the node its memory belongs to.</summary>
    public ulong Incarnation => Node?.Holder.Inline.Incarnation ?? 0;

    /// <summary>Starts a node on a machine.</summary>
    public static SimulatedNode Start(SimulatedWorld world, int machine, string nodeId, NodeShape shape,
        Func<SimulatedProcess, MeshRuntime, MeshRuntime> runtimeOf)
    {
        var process = new SimulatedProcess(world, nodeId, machine);
        var runtime = runtimeOf(process, new MeshRuntime
        {
            Time = process.Time,
            Scheduler = process.Scheduler,
            Random = RandomSource.FromSeed((int)world.Random.NextUInt64()),
            Network = process.Network,
            Log = world.LogOf(nodeId),
        });
        var registry = new EmbeddedRegistry(world.Etcd, runtime) { Latency = TimeSpan.FromMilliseconds(1) };
        var node = new SimulatedNode(world, process, nodeId, registry);
        var options = new MeshNodeOptions
        {
            NodeId = nodeId,
            Slots = shape.Slots,
            LeaseTtl = shape.LeaseTtl,
            WaitForNodeId = true,
            Segments = [new SegmentOptions { Length = shape.SegmentBytes, HugePages = false, PreTouch = false }],
        };
        world.Log($"start {nodeId}");
        _ = process.Start(async () =>
        {
            var made = MeshNode.Create(options, registry, runtime);
            if (made.Succeeded)
                node._made = made.Value;
            var started = made.Succeeded ? await made.Value.StartOrEndAsync(CancellationToken.None) : made;
            node.Refusal = started.Error;
            if (!started.Succeeded)
                return;
            node.Node = started.Value;
            world.Tell($"{nodeId} is incarnation {node.Incarnation:x}");
        });
        return node;
    }

    /// <summary>
    /// Ends the process at once, with all its memory; on a machine that is gone nobody says so to peers.
    /// </summary>
    public void Kill(bool withMachine)
    {
        if (Process.IsDead)
            return;
        _world.Log($"kill {NodeId} machine {withMachine}");
        Process.Kill();
        _world.Network.Ended(Process, withMachine);
        // The memory goes with the process, of a node that was starting as well; its code takes no step any more.
        _made?.Abort();
    }

    /// <summary>Has the node leave the mesh, and the process end after it.</summary>
    public void Leave(TimeSpan grace, Action ended)
    {
        if (!IsUp)
            return;
        IsLeaving = true;
        _world.Log($"leave {NodeId}");
        _ = Process.Start(async () =>
        {
            await Node!.LeaveAsync(grace, CancellationToken.None);
            Kill(withMachine: false);
            ended();
        });
    }
}
