// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// The whole core, membership to flow, runs on simulated time, network, registry and randomness: one seed, one history.
/// </summary>
public sealed class SeamTests
{
    [Fact]
    public void Two_runs_from_one_seed_have_equal_event_logs()
    {
        var first = PutAndGet(42);
        var second = PutAndGet(42);
        Assert.True(first.Count > 20, $"only {first.Count} events: is the network bypassed?");
        Assert.Equal(first, second);
    }

    [Fact]
    public void Two_seeds_have_different_event_logs() => Assert.NotEqual(PutAndGet(1), PutAndGet(2));

    /// <summary>
    /// Two nodes register, one puts, the other gets; the log of everything the network and registry saw.
    /// </summary>
    private static List<string> PutAndGet(int seed)
    {
        var events = new List<string>();
        var clock = new ManualTimeProvider();
        var scheduler = new SingleThreadScheduler();
        void Log(string text) => events.Add($"{clock.Elapsed.TotalMicroseconds:0} {text}");
        var runtime = new MeshRuntime
        {
            Time = clock,
            Scheduler = scheduler,
            Random = RandomSource.FromSeed(seed),
            Network = new SimulatedNetwork(clock, RandomSource.FromSeed(seed + 1), Log),
        };
        var registry = new EmbeddedRegistryStore(clock, RandomSource.FromSeed(seed + 2));
        byte[] value = new byte[20_000];
        new Random(seed).NextBytes(value);
        var done = runtime.Start(async () =>
        {
            var a = await StartAsync("a", registry, runtime);
            var b = await StartAsync("b", registry, runtime);
            while (!a.Ready || !b.Ready || a.View.Members.Count < 2)
                await runtime.Delay(TimeSpan.FromMilliseconds(10), CancellationToken.None);
            Log("ready " + a.View.Id);
            var key = new MeshKey("block");
            var put = await a.Operations.PutAsync(key, value,
                new PutOptions { Placement = Placement.Preferred, PreferredNode = "b" }, CancellationToken.None);
            Log($"put {put.Value.Version}");
            using var target = new ArrayTarget();
            var got = await a.Operations.GetAsync(key, target, null, CancellationToken.None);
            Assert.True(got.Succeeded, got.Error?.ToString());
            Assert.Equal(value, target.Array);
            Log("got");
            await a.DisposeAsync();
            await b.DisposeAsync();
        });
        while (!done.IsCompleted)
        {
            scheduler.Pump();
            if (done.IsCompleted)
                break;
            var next = clock.NextDue ?? throw new InvalidOperationException("nothing left to happen");
            clock.Advance(next > clock.Elapsed ? next - clock.Elapsed : TimeSpan.Zero, scheduler.Pump);
            Assert.True(clock.Elapsed < TimeSpan.FromMinutes(1), "not done within a simulated minute");
        }

        done.GetAwaiter().GetResult();
        return events;
    }

    private static async Task<MeshNode> StartAsync(string nodeId, EmbeddedRegistryStore registry, MeshRuntime runtime)
    {
        var options = new MeshNodeOptions
        {
            NodeId = nodeId,
            Slots = 64,
            Segments = [new SegmentOptions { Length = 1 << 20, HugePages = false, PreTouch = false }],
        };
        var node = await MeshNode.StartAsync(options, new EmbeddedRegistry(registry, runtime), runtime,
            CancellationToken.None);
        return node.Value;
    }
}
