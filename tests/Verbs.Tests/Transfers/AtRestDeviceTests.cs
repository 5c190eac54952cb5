// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Tests.Devices;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>What an engine costs when nothing moves, and what a slice costs.</summary>
[Collection(RealDevices.Name)]
public sealed class AtRestDeviceTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private static readonly string[] Names = ["mesh-rxe0", "mesh-rxe1", "mesh-verbs"];

    public AtRestDeviceTests() => RealDevices.SkipUnlessOurs();

    [Fact]
    public async Task An_engine_has_one_thread_a_device_and_one_more_and_they_sleep()
    {
        Assert.Empty(Threads());
        await using (var pair = await EnginePair.OpenAsync(1 << 20))
        {
            await pair.Peer.RunAsync(pair.Mixed(0, 16, 64 << 10)).WaitAsync(Long, Cancel);
            // Two engines.
            Assert.Equal(Names.SelectMany(name => new[] { name, name }),
                Threads().Select(thread => thread.Name).Order(StringComparer.Ordinal));
            const int Seconds = 3;
            var before = Threads();
            await Task.Delay(TimeSpan.FromSeconds(Seconds), Cancel);
            var after = Threads();
            double wakes = after.Sum(thread => thread.Wakes) - before.Sum(thread => thread.Wakes);
            double ticks = after.Sum(thread => thread.Ticks) - before.Sum(thread => thread.Ticks);
            TestContext.Current.TestOutputHelper?.WriteLine(
                $"two engines at rest: {wakes / Seconds:0.0} wake-ups and {ticks / Seconds:0.0} ticks a second");
            // Of a hundred a second; emulated, so each look at the devices costs some.
            Assert.InRange(wakes / Seconds / 2, 0, 19.9);
            Assert.InRange(ticks / Seconds / 2, 0, 10);
        }

        await EnginePair.UntilAsync(() => Threads().Count == 0, "the threads have ended", Long);
    }

    [Fact]
    public async Task Nothing_is_allocated_for_a_slice()
    {
        const int Slice = 4096, Few = 64, Many = 1024;
        await using var pair = await EnginePair.OpenAsync(Many * Slice, new RdmaOptions { SliceBytes = Slice });
        long few = long.MaxValue, many = long.MaxValue;
        for (int i = 0; i < 6; i++)
        {
            // The first ones make the queue pairs, and all else that is made once.
            few = Math.Min(few, await AllocatedAsync(pair, Few));
            many = Math.Min(many, await AllocatedAsync(pair, Many));
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{Few} slices {few} bytes, {Many} slices {many} bytes");
        // One object of any kind a slice would be 23,040 bytes.
        Assert.InRange(many - few, -4096, 4096);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static async Task<long> AllocatedAsync(EnginePair pair, int slices)
    {
        int bytes = slices * pair.Near.Options.SliceBytes;
        var batch = new RdmaBatch(
            [pair.Request(WorkKind.Read, 0, bytes / 2), pair.Request(WorkKind.Write, bytes / 2, bytes / 2)],
            pair.Near.Options.SliceBytes);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        Assert.Equal(TransferOutcome.Done, await pair.Peer.RunAsync(batch).WaitAsync(Long, Cancel));
        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }

    /// <summary>The threads of engines: how often each fell asleep, and hundredths of a second that it ran.</summary>
    private static List<(string Name, long Wakes, long Ticks)> Threads()
    {
        var threads = new List<(string Name, long Wakes, long Ticks)>();
        foreach (string task in System.IO.Directory.GetDirectories("/proc/self/task"))
        {
            try
            {
                string name = File.ReadAllText(Path.Combine(task, "comm")).Trim();
                if (!name.StartsWith("mesh-rxe", StringComparison.Ordinal) && name != "mesh-verbs")
                    continue;
                string wakes = File.ReadLines(Path.Combine(task, "status"))
                    .First(line => line.StartsWith("voluntary_ctxt_switches", StringComparison.Ordinal));
                string[] stat = File.ReadAllText(Path.Combine(task, "stat")).Split(')')[^1].Split(' ');
                threads.Add((name, Number(wakes.Split(':')[1]), Number(stat[12]) + Number(stat[13])));
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }

        return threads;
    }

    private static long Number(string text) => long.Parse(text.Trim(), CultureInfo.InvariantCulture);
}
