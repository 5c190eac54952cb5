// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>What came of a run.</summary>
internal sealed record SeedOutcome(int Seed, IReadOnlyList<Violation> Violations, int Calls, ulong Digest,
    IReadOnlyList<string> Events)
{
    /// <summary>The test that runs this seed alone.</summary>
    public string Test { get; init; } = nameof(SeedTests.One_seed);

    /// <summary>The violations, and the command that runs this seed again.</summary>
    public override string ToString() => string.Join('\n', [$"seed {Seed}: {Violations.Count} violations",
        .. Violations.Take(8), "again, with its event log: " + SeedSettings.CommandOf(Seed, Test)]);
}

/// <summary>A whole run from one seed: a mesh, its clients, faults, then quiet, then the checks.</summary>
internal static class SeedRun
{
    private const int CallsPerRun = 300;

    /// <summary>
    /// In microseconds: a call's deadline is looked at by timers and by steps of the world; a moment later is in time.
    /// </summary>
    public const long Slack = 250_000;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan LoadLimit = TimeSpan.FromSeconds(200);

    /// <summary>Longest time from the end of all faults until everything agrees.</summary>
    public static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(75);

    /// <summary>Rule of a run that did not come to its end.</summary>
    public const string Ended = "a run comes to its end";

    /// <summary>Runs a seed.</summary>
    /// <param name="seed">What all of it comes from.</param>
    /// <param name="keepLog">Whether the event log is kept.</param>
    /// <param name="adapt">Changes what nodes and clients run on.</param>
    public static SeedOutcome Run(int seed, bool keepLog = false, Func<MeshRuntime, MeshRuntime>? adapt = null)
    {
        var world = new SimulatedWorld(seed, keepLog);
        var mesh = new SimulatedMesh(world, ShapeOf(world.Random), adapt);
        try
        {
            return Run(seed, world, mesh);
        }
        catch (InvalidOperationException e)
        {
            return new SeedOutcome(seed, [new Violation(Ended, e.ToString())], mesh.History.Calls.Count, world.Digest,
                world.Events);
        }
        finally
        {
            mesh.End();
        }
    }

    private static SeedOutcome Run(int seed, SimulatedWorld world, SimulatedMesh mesh)
    {
        for (int i = 0; i < mesh.Shape.FirstNodes; i++)
            mesh.Start(i);
        if (!world.Until(() => mesh.Nodes.All(n => n.Node is { Ready: true }), StartLimit))
            throw new InvalidOperationException($"seed {seed}: the mesh did not start: {Why(mesh)}");
        var faults = new FaultPlan(mesh);
        faults.Start();
        int clients = 2 + world.Random.Next(5);
        for (int i = 0; i < clients; i++)
            mesh.AddClient(world.Random.Next(mesh.Shape.Machines), world.Random.Next(3) > 0, CallsPerRun / clients);
        SampleEvery(world, mesh);
        world.Until(() => mesh.ClientsDone, LoadLimit);
        faults.HealAll();
        world.Pass(QuietTime);
        mesh.History.Quiet = mesh.Observer.States();
        mesh.Observer.Sample();
        return new SeedOutcome(seed, RunChecker.Check(mesh.History, Slack), mesh.History.Calls.Count, world.Digest,
            world.Events);
    }

    private static void SampleEvery(SimulatedWorld world, SimulatedMesh mesh) =>
        world.Clock.After(TimeSpan.FromMilliseconds(500 + world.Random.Next(1000)), () =>
        {
            mesh.Observer.Sample();
            mesh.Observer.SampleOwners();
            SampleEvery(world, mesh);
        });

    private static MeshShape ShapeOf(RandomSource random)
    {
        int machines = 3 + random.Next(3);
        return new MeshShape
        {
            Machines = machines,
            FirstNodes = machines - random.Next(2),
            // In some runs callers meet at few keys, and in some there is never room for all that they put.
            Keys = random.Next(3) == 0 ? 2 + random.Next(4) : 4 + random.Next(40),
            MeanPause = 150_000 + random.Next(350_000),
            SlowestSlice = random.Next(3) == 0 ? 1000 : 150_000,
            Node = new NodeShape(64, SegmentBytes(random), TimeSpan.FromSeconds(3 + random.Next(5))),
        };
    }

    private static long SegmentBytes(RandomSource random) =>
        (random.Next(2) == 0 ? 32 + random.Next(64) : 128 + random.Next(512)) * 1024;

    private static string Why(SimulatedMesh mesh) => string.Join("; ",
        mesh.Nodes.Select(n => $"{n.NodeId} {n.Refusal?.ToString() ?? n.Node?.NotReadyReason ?? "still starts"}"));
}
