// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>With transport auto, tcp carries what the devices do not.</summary>
[Collection(RealDevices.Name)]
public sealed class FallbackDeviceTests
{
    private const int Bytes = 1 << 20;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(30);

    public FallbackDeviceTests() => RealDevices.SkipUnlessOurs();

    [Fact]
    public async Task While_both_devices_are_down_tcp_carries_all_and_that_is_told_once()
    {
        var log = new LogLines();
        await using var world = await RdmaWorld.StartAsync(log, TransportChoice.Auto);
        await using var client = await world.ClientAsync(sameHost: false);
        var plan = client.Operations.Plan;
        await UntilAsync("rdma");
        await UntilToldAsync();
        long fallen = Verbs().Fallbacks;
        int told = log.Count("rdma_fallback");

        await using (var first = new BrokenNic(0, "up"))
        await using (var second = new BrokenNic(1, "up"))
        {
            await first.BreakAsync("down");
            await second.BreakAsync("down");
            await MoveAsync(client);
            var before = BytesOf("rdma");
            for (int i = 0; i < 3; i++)
                await MoveAsync(client);
            Assert.Equal(before, BytesOf("rdma"));
            Assert.Equal(told + 1, log.Count("rdma_fallback node=holder"));
            // Each put and each get of the three.
            Assert.True(Verbs().Fallbacks >= fallen + 6);
        }

        long start = Stopwatch.GetTimestamp();
        await UntilAsync("rdma");
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 10);
        await UntilToldAsync();

        IVerbsTransport Verbs() => plan.Transports.OfType<IVerbsTransport>().Single();

        (long Read, long Written) BytesOf(string name) =>
            plan.Bytes().Where(bytes => bytes.Name == name).Select(bytes => (bytes.Read, bytes.Written)).Single();

        // In an emulated machine the first connections take longer than is waited for.
        async Task UntilAsync(string name)
        {
            var (read, written) = BytesOf(name);
            long begun = Stopwatch.GetTimestamp();
            do
            {
                Assert.True(Stopwatch.GetElapsedTime(begun) < Long, $"{name} carries nothing");
                await MoveAsync(client);
            }
            while (BytesOf(name).Read == read || BytesOf(name).Written == written);
        }

        // It is told that the node is reached again once nothing has failed for a while.
        async Task UntilToldAsync()
        {
            long begun = Stopwatch.GetTimestamp();
            while (log.Count("rdma_fallback") != log.Count("rdma_again node=holder"))
            {
                Assert.True(Stopwatch.GetElapsedTime(begun) < Long, "it is not told that rdma is back");
                await MoveAsync(client);
            }
        }
    }

    private static async Task MoveAsync(ClientPeer client)
    {
        byte[] value = new byte[Bytes];
        Random.Shared.NextBytes(value);
        var put = await client.Operations.PutAsync(new MeshKey("k"), value,
            new PutOptions { Deadline = Long, Replace = true }, TestContext.Current.CancellationToken);
        Assert.True(put.Succeeded, put.Error?.Message);
        using var target = new ArrayTarget();
        var got = await client.Operations.GetAsync(new MeshKey("k"), target, new GetOptions { Deadline = Long },
            TestContext.Current.CancellationToken);
        Assert.True(got.Succeeded, got.Error?.Message);
        Assert.True(value.AsSpan().SequenceEqual(target.Array));
    }
}
