// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Nodes that stand still for about as long as a call waits, again and again, under a caller who puts each key until he
/// is told that it is there. Nothing is evicted, and no node ends: in the end every key is there.
/// </summary>
public sealed class StandStillTests
{
    private const int Machines = 4;
    private const int Seeds = 6;
    private const int Writers = 16;
    private const int Keys = 1500;
    private const string Kept = "what was put is there";
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan PutLimit = TimeSpan.FromMinutes(10);

    /// <summary>A holder asks the owners for a minute what became of a put.</summary>
    private static readonly TimeSpan Settles = TimeSpan.FromSeconds(75);

    [Fact]
    public void One_node_stands_still() => Check(all: false);

    [Fact]
    public void All_nodes_stand_still() => Check(all: true);

    private static void Check(bool all, [CallerMemberName] string test = "") =>
        SeedBatch.Check(Seeds, test, (seed, keepLog) => Run(seed, all, keepLog));

    private static SeedOutcome Run(int seed, bool all, bool keepLog)
    {
        var world = new SimulatedWorld(seed, keepLog);
        var mesh = new SimulatedMesh(world, new MeshShape
        {
            SlowestSlice = 2000,
            Machines = Machines,
            FirstNodes = Machines,
            Keys = 1,
            MeanPause = 1_000_000,
            Node = new NodeShape(64, 16 << 20, TimeSpan.FromSeconds(10)),
        });
        try
        {
            for (int i = 0; i < Machines; i++)
                mesh.Start(i);
            if (!world.Until(() => mesh.Nodes.All(n => n.Node is { Ready: true }), StartLimit))
                throw new InvalidOperationException($"seed {seed}: the mesh did not start");
            var home = new ClientHome(mesh, 0, inNode: false);
            OpenClient? client = null;
            if (!world.Until(() => (client = home.Open()) is not null, StartLimit))
                throw new InvalidOperationException($"seed {seed}: no client");
            var violations = new List<Violation>();
            int left = Writers;
            for (int i = 0; i < Writers; i++)
            {
                int writer = i;
                _ = client!.Process.Start(async () =>
                {
                    await PutAsync(client, writer);
                    left--;
                });
            }

            StandStill(mesh, all, () => left > 0);
            if (!world.Until(() => left == 0, PutLimit))
                violations.Add(new Violation(SeedRun.Ended, $"{left} writers are not done"));
            world.Pass(Settles);
            LookForAll(world, client!, violations);
            int evictions = (int)mesh.Nodes.Sum(node => node.Node!.Holder.Eviction.Evictions);
            if (evictions > 0)
                violations.Add(new Violation(Kept, $"{evictions} evictions"));
            return new SeedOutcome(seed, violations, Keys, world.Digest, world.Events);
        }
        finally
        {
            mesh.End();
        }
    }

    /// <summary>A third of the keys is put, one is put and then replaced, and one is put and removed.</summary>
    private static async Task PutAsync(OpenClient client, int writer)
    {
        for (int i = writer; i < Keys; i += Writers)
        {
            var key = new MeshKey($"key-{i}");
            await PutAsync(client, key, 2ul * (ulong)i, replace: false);
            if (i % 3 == 1)
                await PutAsync(client, key, (2ul * (ulong)i) + 1, replace: true);
            while (i % 3 == 2 && await client.Operations.RemoveAsync(key, null, CancellationToken.None)
                is { Succeeded: false })
            {
            }
        }
    }

    private static async Task PutAsync(OpenClient client, MeshKey key, ulong value, bool replace)
    {
        byte[] bytes = GC.AllocateArray<byte>(600, pinned: true);
        Stamped.Fill(bytes, value);
        var options = new PutOptions { Placement = Placement.Spread, Replace = replace };
        while (await client.Operations.PutAsync(key, bytes, options, CancellationToken.None) is { Succeeded: false })
        {
        }
    }

    private static void StandStill(SimulatedMesh mesh, bool all, Func<bool> goesOn)
    {
        var (world, random) = (mesh.World, mesh.World.Random);
        world.Clock.After(TimeSpan.FromMilliseconds(random.Next(400)), () =>
        {
            if (!goesOn())
                return;
            SimulatedNode[] stopped = all ? [.. mesh.Nodes] : [mesh.NodeOn(random.Next(Machines))!];
            foreach (var node in stopped)
                node.Process.Stop();
            world.Clock.After(TimeSpan.FromMilliseconds(200 + random.Next(1000)), () =>
            {
                foreach (var node in stopped)
                    node.Process.Resume();
                StandStill(mesh, all, goesOn);
            });
        });
    }

    private static void LookForAll(SimulatedWorld world, OpenClient client, List<Violation> violations)
    {
        int looked = 0;
        _ = client.Process.Start(async () =>
        {
            for (; looked < Keys; looked++)
            {
                if (await WrongAsync(client, looked) is { } wrong)
                    violations.Add(new Violation(Kept, $"key-{looked}: {wrong}"));
            }
        });
        if (!world.Until(() => looked == Keys, PutLimit))
            violations.Add(new Violation(SeedRun.Ended, $"{looked} keys were read"));
    }

    /// <summary>What is wrong with a key; null: nothing.</summary>
    private static async Task<string?> WrongAsync(OpenClient client, int i)
    {
        byte[] bytes = GC.AllocateArray<byte>(600, pinned: true);
        var target = new RangeTarget(new Transfer.NativeRange(
            Marshal.UnsafeAddrOfPinnedArrayElement(bytes, 0), bytes.Length));
        var got = await client.Operations.GetAsync(new MeshKey($"key-{i}"), target, null, CancellationToken.None);
        if (i % 3 == 2)
        {
            return got.Error is { Code: MeshErrorCode.NotFound } ? null
                : $"it was removed, and read again: {got.Error?.ToString() ?? "there"}";
        }

        ulong value = got.Succeeded ? Stamped.Read(bytes) : 0;
        ulong wanted = (2ul * (ulong)i) + (i % 3 == 1 ? 1ul : 0);
        return got.Succeeded && value == wanted ? null : $"{value} for {wanted}, {got.Error}";
    }
}
