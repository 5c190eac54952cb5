// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>
/// Five nodes are restarted one after the other under load. A false miss is a get or exists that says "not found" of
/// an acknowledged object, not removed, not replaced and not evicted, while one process that has its bytes served from
/// before the call until after it; a node that has been told to end counts as gone from that moment.
/// </summary>
[Trait("needs", "etcd")]
public sealed class RollingRestartTests
{
    /// <summary>Nodes that are restarted.</summary>
    internal const int Nodes = 5;

    [Fact]
    public async Task With_SIGTERM_no_read_fails_and_no_held_key_is_missed()
    {
        // Nothing is evicted: 4 clients keep 150 objects each, of some 5 KiB on average, in 320 MiB.
        await using var run = await FaultRun.StartAsync(null, Nodes, 1, new LoadOptions());
        for (int i = 1; i <= Nodes; i++)
            await run.RestartAsync($"n{i}");
        await run.EndsWellAsync("rolling restart of five, SIGTERM", failures: 0);
    }
}

/// <summary>The same with SIGKILL and two copies of everything; runs beside it.</summary>
[Trait("needs", "etcd")]
public sealed class RollingKillTests
{
    [Fact]
    public async Task With_SIGKILL_every_key_of_a_surviving_copy_stays_readable()
    {
        await using var run = await FaultRun.StartAsync(null, RollingRestartTests.Nodes, 2,
            new LoadOptions { Replicas = 2 });
        for (int i = 1; i <= RollingRestartTests.Nodes; i++)
            await run.KillAndRestartAsync($"n{i}");
        await run.EndsWellAsync("rolling restart of five, kill -9, two copies");
    }
}
