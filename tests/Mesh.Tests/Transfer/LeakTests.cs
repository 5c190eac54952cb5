// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Tests that count what the whole process holds.</summary>
[CollectionDefinition(nameof(AloneInProcess), DisableParallelization = true)]
public sealed class AloneInProcess;

[Collection(nameof(AloneInProcess))]
public sealed class LeakTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task After_dispose_no_descriptor_mapping_or_thread_is_left()
    {
        await UseAllAsync();
        var before = Count();
        for (int i = 0; i < 3; i++)
            await UseAllAsync();

        // Threads end a moment after they have said so; sockets close when their last user is through.
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!Fits(Count(), before))
            await Task.Delay(20, limit.Token);
    }

    private static bool Fits((int Descriptors, int Mappings, int Threads) now,
        (int Descriptors, int Mappings, int Threads) before) =>
        now.Descriptors <= before.Descriptors && now.Mappings <= before.Mappings && now.Threads == 0;

    private static async Task UseAllAsync()
    {
        await using var world = await TransferWorld.StartAsync(8 << 20);
        await using var tcp = new TcpTransport(world.Dialer(sameHost: false));
        await using var unix = new TcpTransport(world.Dialer());
        await using var shm = new ShmTransport(world.Dialer());
        var held = world.Hold(new byte[1 << 20]);
        using var destination = new GuardedMemory(1 << 20);
        foreach (ITransport transport in (ITransport[])[tcp, unix, shm])
        {
            Assert.Equal(TransferOutcome.Done, await transport.ReadAsync(world.ReadOf(held), destination.Range,
                TimeSpan.FromSeconds(60), Cancel));
        }
    }

    private static (int Descriptors, int Mappings, int Threads) Count()
    {
        int descriptors = OwnDescriptors.Now().Count(
            each => each.Target.Contains("socket:") || each.Target.Contains("memfd:mooncake"));
        int mappings = File.ReadLines("/proc/self/maps").Count(line => line.Contains("memfd:mooncake"));
        int threads = System.IO.Directory.GetDirectories("/proc/self/task").Count(IsOurs);
        return (descriptors, mappings, threads);
    }

    private static bool IsOurs(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm")).StartsWith("mesh-", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    }
}
