// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>Another process is killed under way: what is left of its transfers, and of its queue pairs.</summary>
[Collection(RealDevices.Name)]
public sealed class KilledDeviceTests
{
    private const string Endpoint = "127.0.0.1:17071";
    private const byte After = 0xEE;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Watch = TimeSpan.FromMilliseconds(500);

    public KilledDeviceTests() => RealDevices.SkipUnlessOurs();

    [Fact]
    public async Task A_holder_killed_under_way_ends_reads_and_puts_by_name_and_the_next_one_is_used()
    {
        string before = await KernelObjects.IdleAsync();
        var log = new LogLines();
        using var source = new GuardedMemory(Child.ValueBytes);
        using var destination = new GuardedMemory(Child.ValueBytes);
        source.Bytes.Fill(7);
        await using (var client = new ClientPeer("default", [Endpoint], null, Child.Runtime(log), "",
            transport: TransportChoice.Rdma))
        {
            using (var holder = Child.Start("holder", Endpoint))
            {
                Assert.Equal("ready", await holder.LineAsync());
                Assert.Null(await client.ConnectAsync(Long, Cancel));
                await UntilPutAsync(client, source);
                int reads = 0, puts = 0;
                var reading = MoveOnAsync(() => GetAsync(client, destination), () => reads++);
                var putting = MoveOnAsync(async () => (await PutAsync(client, "p", source)).Error, () => puts++);
                await EnginePair.UntilAsync(() => (reads > 1 && puts > 1) || reading.IsCompleted || putting.IsCompleted,
                    "both have begun", Long);
                holder.Kill();
                await AssertEndedAsync(reading, destination);
                await AssertEndedAsync(putting, source);
            }

            using var next = Child.Start("holder", Endpoint);
            Assert.Equal("ready", await next.LineAsync());
            source.Bytes.Fill(9);
            await UntilPutAsync(client, source);
            Assert.Null(await GetAsync(client, destination));
            Assert.False(destination.Bytes.ContainsAnyExcept((byte)9));
        }

        await KernelObjects.UntilAsync(before);
    }

    [Fact]
    public async Task A_caller_killed_under_its_put_leaves_no_reservation_no_queue_pair_and_no_region()
    {
        string empty = await KernelObjects.IdleAsync();
        await using (var world = await RdmaWorld.StartAsync(new LogLines()))
        {
            string before = await KernelObjects.CountAsync();
            using (var putter = Child.Start("putter", world.Node.Endpoint))
            {
                while (await putter.LineAsync() != "put")
                {
                }

                await EnginePair.UntilAsync(() => world.Store.Usage.Filling > 0, "a put is under way", Long);
                putter.Kill();
            }

            await EnginePair.UntilAsync(() => world.Store.Usage.Filling == 0, "nothing is reserved", Long);
            await KernelObjects.UntilAsync(before);
            var transport = RdmaWorld.Open(world);
            await transport.DisposeAsync();
        }

        await KernelObjects.UntilAsync(empty);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Does the same until it fails; with what error, and how long that took.</summary>
    private static Task<(MeshError Error, double Seconds)> MoveOnAsync(Func<Task<MeshError?>> move, Action done) =>
        Task.Run(async () =>
        {
            while (true)
            {
                long start = Stopwatch.GetTimestamp();
                if (await move() is { } error)
                    return (error, Stopwatch.GetElapsedTime(start).TotalSeconds);
                done();
            }
        });

    private static async Task AssertEndedAsync(Task<(MeshError Error, double Seconds)> moving, GuardedMemory memory)
    {
        var (error, seconds) = await moving.WaitAsync(Long, Cancel);
        memory.Bytes.Fill(After);
        TestContext.Current.TestOutputHelper?.WriteLine($"{error.Code} at {error.Stage} after {seconds:0.00} s: "
            + error.Message);
        // The emulated machine is slow, and busy with the end of a process.
        Assert.InRange(seconds, 0, Deadline.TotalSeconds + 2);
        Assert.NotEqual("", error.Stage);
        Assert.DoesNotContain('\n', error.Message);
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < Watch)
            Assert.False(memory.Bytes.ContainsAnyExcept(After), "bytes landed after the call had returned");
        memory.AssertGuards();
    }

    private static Task<MeshResult<PutOutcome>> PutAsync(ClientPeer client, string key, GuardedMemory source) =>
        client.Operations.PutAsync(new MeshKey(key), source.Range,
            new PutOptions { Deadline = Deadline, Replace = true }, Cancel);

    private static async Task<MeshError?> GetAsync(ClientPeer client, GuardedMemory destination) =>
        (await client.Operations.GetAsync(new MeshKey("g"), [destination.Range], new GetOptions { Deadline = Deadline },
            Cancel)).Error;

    /// <summary>In an emulated machine the first connections take longer than is waited for.</summary>
    private static async Task UntilPutAsync(ClientPeer client, GuardedMemory source)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            var put = await PutAsync(client, "g", source);
            if (put.Succeeded)
                return;
            Assert.True(Stopwatch.GetElapsedTime(start) < Long, put.Error!.Message);
        }
    }
}
