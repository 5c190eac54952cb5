// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>What is made and ended again and again leaves nothing behind.</summary>
[Collection(nameof(AloneWithMappings))]
public sealed class EngineLeakTests : EngineTests
{
    [Fact]
    public void Registrations_and_transfers_come_and_go()
    {
        using var memory = new NativeBytes(1 << 20);
        void Cycle(int cycles)
        {
            for (int i = 0; i < cycles; i++)
            {
                nint at = memory.Address + (i % 200 * 4096);
                Assert.Null(Engine.Register(at, 4096));
                Assert.Equal(TransferState.Completed, Move(TransferOpcode.Write, at, 0, (ulong)at + 2048, 2048).State);
                Assert.Null(Engine.Unregister(at));
            }
        }

        Cycle(1000);
        var before = Held.Now();
        Cycle(100_000);
        Assert.True(Held.Now().Fits(before), $"{Held.Now()} after {before}");
    }

    [Fact]
    public async Task Engines_come_and_go()
    {
        using var child = await EngineChild.StartAsync();
        ulong plain = await child.MemoryAsync("plain", 65_536);
        ulong managed = await child.MemoryAsync("managed", 65_536);
        using var memory = new NativeBytes(65_536);
        void Cycle(int cycles)
        {
            for (int i = 0; i < cycles; i++)
            {
                using var engine = Open(i % 2 == 0 ? TransferTransports.All : TransferTransports.Tcp);
                Assert.Null(engine.Register(memory.Address, 65_536));
                nint own = engine.AllocateManaged(100_000).Value;
                int segment = engine.OpenSegment(child.Address).Value;
                Assert.Equal(TransferState.Completed, engine.Transfer(
                    [new(TransferOpcode.Write, memory.Address, segment, plain, 65_536),
                    new(TransferOpcode.Read, own, segment, managed, 65_536)]).Value.State);
            }
        }

        Cycle(20);
        var before = Held.Now();
        Cycle(200);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        // Threads end a moment after they have said so.
        while (!Held.Now().Fits(before) && !limit.IsCancellationRequested)
            await Task.Delay(20);
        Assert.True(Held.Now().Fits(before), $"{Held.Now()} after {before}");
        Assert.Equal("None", await child.AskAsync($"unregister {plain}"));
    }

    [Fact]
    public async Task A_thousand_threads_use_one_engine()
    {
        using var child = await EngineChild.StartAsync();
        int segment = Engine.OpenSegment(child.Address).Value;
        ulong there = await child.MemoryAsync("plain", 4096 * 1000);
        var here = Memory(4096 * 1000, seed: 8);
        int failed = 0;
        var threads = new Thread[1000];
        for (int i = 0; i < threads.Length; i++)
        {
            int at = i * 4096;
            threads[i] = new Thread(() =>
            {
                for (int round = 0; round < 10; round++)
                {
                    var moved = Engine.Transfer(
                        [new(TransferOpcode.Write, here.Address + at, segment, there + (ulong)at, 4096)]);
                    if (!moved.Succeeded || moved.Value.State != TransferState.Completed)
                        Interlocked.Increment(ref failed);
                }
            }, 128 * 1024);
        }

        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.Equal(0, failed);
        Assert.Equal("-1", await child.AskAsync($"differs {there} {4096 * 1000} 8"));
    }

    private sealed record Held(int Descriptors, int Mappings, long Kilobytes)
    {
        public static Held Now()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
            return new Held(OwnDescriptors.Now().Count(each => IsOurs(each.Target)),
                File.ReadLines("/proc/self/maps").Count(line => line.Contains("memfd:mooncake")),
                GC.GetTotalMemory(forceFullCollection: true) / 1024);
        }

        /// <summary>A socket, a process, or memory: the runtime and the test itself have other files.</summary>
        private static bool IsOurs(string target) => target.StartsWith("socket:", StringComparison.Ordinal)
            || target.Contains("pidfd") || target.StartsWith("memfd:mooncake", StringComparison.Ordinal);

        /// <summary>Whether nothing has grown; the heap may by a little.</summary>
        public bool Fits(Held before) => Descriptors <= before.Descriptors && Mappings <= before.Mappings
            && Kilobytes <= before.Kilobytes + 2048;
    }
}
