// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Five nodes in two parts that do not reach each other, with callers on both sides, then whole again: nothing that was
/// acknowledged is lost, and views and directories agree soon after.
/// </summary>
public sealed class SplitTests
{
    private const int Machines = 5;
    private const int Seeds = 8;

    /// <summary>Nodes that are on the side of the three.</summary>
    private const int Three = 3;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan CallsGoOn = TimeSpan.FromSeconds(5);

    /// <summary>From the heal until everything agrees.</summary>
    private static readonly TimeSpan AgreeWithin = TimeSpan.FromSeconds(30);

    [Fact]
    public void Etcd_with_the_three_for_30_seconds() => Check(etcdWithThree: true, seconds: 30);

    [Fact]
    public void Etcd_with_the_two_for_30_seconds() => Check(etcdWithThree: false, seconds: 30);

    [Fact]
    public void Etcd_with_the_three_for_10_minutes() => Check(etcdWithThree: true, seconds: 600);

    [Fact]
    public void Etcd_with_the_two_for_10_minutes() => Check(etcdWithThree: false, seconds: 600);

    private static void Check(bool etcdWithThree, int seconds, [CallerMemberName] string test = "") =>
        SeedBatch.Check(Seeds, test,
            (seed, keepLog) => Run(seed, etcdWithThree, TimeSpan.FromSeconds(seconds), keepLog));

    private static SeedOutcome Run(int seed, bool etcdWithThree, TimeSpan length, bool keepLog)
    {
        var world = new SimulatedWorld(seed, keepLog);
        var mesh = new SimulatedMesh(world, new MeshShape
        {
            SlowestSlice = 2000,
            Machines = Machines,
            FirstNodes = Machines,
            Keys = 24,
            MeanPause = length > TimeSpan.FromMinutes(1) ? 4_000_000 : 300_000,
            Node = new NodeShape(64, 512 * 1024, TimeSpan.FromSeconds(5)),
        });
        try
        {
            for (int i = 0; i < Machines; i++)
                mesh.Start(i);
            if (!world.Until(() => mesh.Nodes.All(n => n.Node is { Ready: true }), StartLimit))
                throw new InvalidOperationException($"seed {seed}: the mesh did not start");
            // In the nodes, and beside one of each side.
            for (int i = 0; i < Machines + 2; i++)
                mesh.AddClient(i < Machines ? i : i - Machines + Three - 1, inNode: i < Machines, calls: int.MaxValue);
            world.Pass(CallsGoOn);
            Split(mesh, etcdWithThree);
            long split = world.Clock.Microseconds;
            world.Pass(length);
            long healed = world.Clock.Microseconds;
            Heal(mesh);
            mesh.Observer.Sample();
            world.Pass(CallsGoOn);
            mesh.StopClients();
            world.Pass(AgreeWithin - CallsGoOn);
            mesh.History.Quiet = mesh.Observer.States();
            mesh.Observer.Sample();
            var violations = RunChecker.Check(mesh.History, SeedRun.Slack);
            if (mesh.History.Quiet.Count < Machines)
                violations.Add(new Violation(RunChecker.Agreement, $"only {mesh.History.Quiet.Count} nodes are up"));
            // Without them a split would be easy.
            foreach (bool three in new[] { true, false })
            {
                int done = mesh.History.Calls.Count(c => c.Start > split && c.End < healed
                    && c.Outcome == CallOutcome.Done && IsOfThree(c.Client / 100) == three);
                if (done < 10)
                    violations.Add(new Violation("both sides serve", $"side of the three: {three}: {done} calls done"));
            }

            return new SeedOutcome(seed, violations, mesh.History.Calls.Count, world.Digest, world.Events);
        }
        finally
        {
            mesh.End();
        }
    }

    private static bool IsOfThree(int client) => client < Three || client == Machines;

    private static void Split(SimulatedMesh mesh, bool etcdWithThree)
    {
        for (int a = 0; a < Three; a++)
        {
            for (int b = Three; b < Machines; b++)
            {
                mesh.World.Network.Cut(a, b);
                mesh.World.Network.Cut(b, a);
            }
        }

        foreach (var node in mesh.Nodes)
        {
            if (node.Process.Machine < Three != etcdWithThree)
                node.Registry.SetFault(EmbeddedFault.Cut);
        }
    }

    private static void Heal(SimulatedMesh mesh)
    {
        mesh.World.Network.HealAll();
        foreach (var node in mesh.Nodes)
            node.Registry.SetFault(EmbeddedFault.None);
    }
}
