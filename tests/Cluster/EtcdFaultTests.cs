// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cluster;

/// <summary>What can befall etcd while the mesh is in use.</summary>
public enum EtcdFault
{
    /// <summary>Stopped for less than a lease, and started: the leases stay.</summary>
    StoppedForASecond,

    /// <summary>Stopped for three TTLs and started with its data.</summary>
    StoppedForThreeTtls,

    /// <summary>SIGSTOP for three TTLs.</summary>
    SuspendedForThreeTtls,

    /// <summary>Killed and started at once with its data.</summary>
    KilledAndRestarted,

    /// <summary>Killed and started at once without its data.</summary>
    WipedAtOnce,

    /// <summary>Stopped, its data deleted, and started empty after three TTLs.</summary>
    WipedAfterThreeTtls,

    /// <summary>Compacted, again and again.</summary>
    Compacted,
}

/// <summary>
/// etcd goes away, hangs, forgets: reads and writes go on, and afterwards all is as before without a restart.
/// </summary>
[Trait("needs", "etcd")]
public abstract class EtcdFaultCase
{
    private static readonly TimeSpan Ttl = ServeMesh.Ttl;

    protected static async Task RunAsync(EtcdFault fault)
    {
        // A lease that must outlive the outage needs more than a busy machine takes to start etcd.
        bool isShort = fault == EtcdFault.StoppedForASecond;
        await using var mesh = await ServeMesh.StartAsync(3, "256MiB", isShort ? TimeSpan.FromSeconds(10) : null);
        var keys = await mesh.FillAsync("known", 1_000);
        var before = await mesh.SettlesAsync(Ttl * 2);
        var leases = await mesh.RegistrationsAsync();
        int[] logged = [.. mesh.Nodes.Select(n => n.Log.Length)];
        await using var load = new MeshLoad(mesh.Client, "new");
        load.Expect(keys);
        load.ExpectPutsFromNowOn();
        load.Start();
        await load.GoesOnAsync();

        var outage = await BefallAsync(mesh, fault);
        long back = TimeProvider.System.GetTimestamp();
        await load.GoesOnAsync();
        await EndsRegisteredAsync(mesh, back);
        var after = await mesh.SettlesAsync(Ttl * 2);
        double settled = TimeProvider.System.GetElapsedTime(back).TotalSeconds;
        // Whoever is forgotten after all would be so within two TTLs more.
        await WaitOutAsync(load, back, isShort ? Ttl : Ttl * 3);
        after = await mesh.SettlesAsync(Ttl);
        await load.EndsWellAsync(mesh, $"etcd {fault} (settled {settled:0.0} s after its return)");

        Assert.Equal(before.Select(s => s.Incarnation), after.Select(s => s.Incarnation));
        Assert.All(mesh.Nodes, n => Assert.False(n.HasExited));
        Assert.All(mesh.Nodes, n => Assert.Single(n.Output));
        var now = await mesh.RegistrationsAsync();
        if (fault is EtcdFault.StoppedForASecond or EtcdFault.Compacted)
            Assert.Equal(leases, now);
        for (int i = 0; i < mesh.Nodes.Count; i++)
        {
            int lines = mesh.Nodes[i].Log.Length - logged[i];
            double seconds = outage.TotalSeconds + TimeProvider.System.GetElapsedTime(back).TotalSeconds;
            Figures.Print($"etcd {fault}: {mesh.Nodes[i].NodeId} logged {lines} lines in {seconds:0} s");
            Assert.True(lines <= seconds + 10, string.Join('\n', mesh.Nodes[i].Log));
        }
    }

    /// <summary>Lets etcd have it; how long it was away.</summary>
    private static async Task<TimeSpan> BefallAsync(ServeMesh mesh, EtcdFault fault)
    {
        long start = TimeProvider.System.GetTimestamp();
        switch (fault)
        {
            case EtcdFault.StoppedForASecond:
                await mesh.Etcd.StopAsync();
                await Task.Delay(TimeSpan.FromSeconds(1));
                await mesh.Etcd.RestartAsync(wipe: false);
                break;
            case EtcdFault.StoppedForThreeTtls:
            case EtcdFault.WipedAfterThreeTtls:
                await mesh.Etcd.StopAsync();
                await IsDegradedAsync(mesh, start);
                await mesh.Etcd.RestartAsync(wipe: fault == EtcdFault.WipedAfterThreeTtls);
                break;
            case EtcdFault.SuspendedForThreeTtls:
                mesh.Etcd.Suspend();
                await IsDegradedAsync(mesh, start);
                mesh.Etcd.Resume();
                break;
            case EtcdFault.KilledAndRestarted:
                await mesh.Etcd.RestartAsync(wipe: false);
                break;
            case EtcdFault.WipedAtOnce:
                await mesh.Etcd.RestartAsync(wipe: true);
                break;
            default:
                for (int i = 0; i < 20; i++)
                {
                    await mesh.Etcd.CtlAsync("put", "x", $"{i}");
                    await mesh.Etcd.CompactAsync();
                }

                break;
        }

        return TimeProvider.System.GetElapsedTime(start);
    }

    /// <summary>The whole of three TTLs; before their end every node says that it is degraded.</summary>
    private static async Task IsDegradedAsync(ServeMesh mesh, long start)
    {
        await Eventually.AsyncTrue(
            async () => (await mesh.StatusesAsync()).All(s => s is { Degraded: true, Ready: true, Reason.Length: > 0 }),
            Ttl * 3, "a node does not say that it is degraded");
        await Task.Delay(Ttl * 3 - TimeProvider.System.GetElapsedTime(start));
    }

    /// <summary>All nodes are registered, each on a living lease, within two TTLs of etcd's return.</summary>
    private static async Task EndsRegisteredAsync(ServeMesh mesh, long back)
    {
        await Eventually.AsyncTrue(async () =>
        {
            var leases = await mesh.RegistrationsAsync();
            return leases.Count == mesh.Nodes.Count && leases.Values.All(lease => lease != 0);
        }, Ttl * 2, "not all nodes are registered within two TTLs");
        double took = TimeProvider.System.GetElapsedTime(back).TotalSeconds;
        Assert.InRange(took, 0, (Ttl * 2).TotalSeconds + 2);
    }

    private static async Task WaitOutAsync(MeshLoad load, long since, TimeSpan time)
    {
        while (TimeProvider.System.GetElapsedTime(since) < time)
            await load.GoesOnAsync();
    }
}

/// <summary>Faults of etcd, first half; the halves run side by side.</summary>
public sealed class EtcdFaultTests : EtcdFaultCase
{
    [Theory]
    [InlineData(EtcdFault.StoppedForASecond)]
    [InlineData(EtcdFault.StoppedForThreeTtls)]
    [InlineData(EtcdFault.SuspendedForThreeTtls)]
    [InlineData(EtcdFault.Compacted)]
    public Task Reads_and_writes_go_on(EtcdFault fault) => RunAsync(fault);
}

/// <summary>Faults of etcd, second half.</summary>
public sealed class EtcdLossTests : EtcdFaultCase
{
    [Theory]
    [InlineData(EtcdFault.KilledAndRestarted)]
    [InlineData(EtcdFault.WipedAtOnce)]
    [InlineData(EtcdFault.WipedAfterThreeTtls)]
    public Task Reads_and_writes_go_on(EtcdFault fault) => RunAsync(fault);
}
