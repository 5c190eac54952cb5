// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Moves at "n1" of a mesh of three nodes, where most keys have their owners at the others.</summary>
public sealed class TierMeshTests : IAsyncLifetime
{
    private const int Size = 200_000;
    private const int Keys = 24;
    private readonly DeviceDouble _devices = new();
    private readonly WatchedWords _words = new();
    private readonly List<MeshNode> _nodes = [];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private MeshNode Holder => _nodes[0];

    private TierCounters Counters => Holder.Holder.Tiers.Counters;

    public async ValueTask InitializeAsync()
    {
        var registry = new EmbeddedRegistryStore(TimeProvider.System, RandomSource.System);
        for (int i = 1; i <= 3; i++)
        {
            var runtime = new MeshRuntime { Network = new SocketNetwork(), Devices = i == 1 ? _devices : null };
            if (i == 1)
                runtime = runtime with { Policies = MeshPolicies.Default with { Word = _words } };
            SegmentOptions[] segments = [new() { Length = 16 << 20, HugePages = false, PreTouch = false }];
            if (i == 1)
                segments = [.. segments, new() { Length = 16 << 20, Location = "cuda:0" }];
            var node = await MeshNode.StartAsync(new MeshNodeOptions
            {
                NodeId = $"n{i}",
                Slots = 64,
                Segments = segments,
                Tiers = new TierOptions { PromoteAfter = 1 },
            }, new EmbeddedRegistry(registry, runtime), runtime, Cancel);
            _nodes.Add(node.Value);
        }

        await DeviceWorld.UntilAsync(() => _nodes.TrueForAll(node => node.View.Members.Count == 3 && node.Ready));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _nodes)
            await node.DisposeAsync();
        // A move that was under way gives its memory back when it hears of the end.
        await DeviceWorld.UntilAsync(() => _devices.Live == 0);
    }

    [Fact]
    public async Task Both_owners_name_the_new_place_and_the_backup_does_when_it_is_alone()
    {
        var keys = await FillAsync();
        await PromoteAsync(keys);
        foreach (var key in keys)
        {
            Assert.True(Holder.Holder.Store.TryFind(key, out var held));
            Assert.Equal(1, held.Extent.SegmentId);
            int slot = Holder.View.SlotOf(key.Hash);
            foreach (var owner in OwnersOf(slot))
            {
                var record = RecordAt(owner, slot, key);
                Assert.Equal((held.Version, held.ObjectId), (record.Version, record.ObjectId));
                var replica = Assert.Single(record.Replicas);
                Assert.Equal((1, held.Extent.Offset, held.Extent.Generation),
                    (replica.SegmentId, replica.Offset, replica.Generation));
            }
        }

        Assert.Equal((0, 0), (Counters.Overtaken, Counters.Failures));
        _nodes[1].Abort();
        for (int i = 0; i < Keys; i++)
            Assert.Equal(Value(i), await GetAsync(_nodes[2], keys[i]));
        Assert.Equal(0, _nodes[2].Operations.StaleReads);
    }

    [Fact]
    public async Task The_old_place_is_good_until_both_owners_name_the_new_one()
    {
        var keys = await FillAsync(8);
        var places = new Dictionary<long, MeshKey>();
        foreach (var key in keys)
        {
            Assert.True(Holder.Holder.Store.TryFind(key, out var held));
            places.Add(held.Extent.Offset, key);
        }

        var named = new List<int>();
        var host = Holder.Holder.Store.Segments[0].Generations;
        _words.OnLeft = (words, offset) =>
        {
            if (words != host || !places.Remove(offset, out var key))
                return;
            int slot = Holder.View.SlotOf(key.Hash);
            named.AddRange(OwnersOf(slot).Select(owner => RecordAt(owner, slot, key).Replicas[0].SegmentId));
        };
        await PromoteAsync(keys);
        _words.OnLeft = null;
        Assert.Equal(Enumerable.Repeat(1, 2 * keys.Length), named);
    }

    [Fact]
    public async Task What_is_removed_at_another_node_while_it_moves_does_not_come_back()
    {
        var keys = await FillAsync();
        var removing = Task.Run(async () =>
        {
            foreach (var key in keys)
                Assert.True((await _nodes[1].Operations.RemoveAsync(key, DeviceWorld.Long, Cancel)).Value);
        }, Cancel);
        foreach (var key in keys)
        {
            var (block, to) = DeviceWorld.Buffer(_devices, new byte[Size], "cuda:0");
            using (block)
                await Holder.Operations.GetAsync(key, new RangeTarget(to), DeviceWorld.Get, Cancel);
        }

        await removing;
        await DeviceWorld.UntilAsync(() => Holder.Holder.Store.Usage is { Used: 0, Objects: 0 });
        await DeviceWorld.UntilAsync(() => Holder.Holder.Dropped.Count == 0);
        foreach (var node in _nodes)
        {
            var there = await node.Operations.ExistAsync(keys, DeviceWorld.Long, Cancel);
            Assert.All(there, found => Assert.False(found.Value));
        }

        Assert.Equal(0, Counters.Failures);
    }

    [Fact]
    public async Task What_is_evicted_once_the_owners_know_the_new_place_is_on_no_record()
    {
        var view = Holder.View;
        var key = Enumerable.Range(0, 1000).Select(i => new MeshKey($"k{i}"))
            .First(k => view.Owner(view.SlotOf(k.Hash), 1)!.NodeId != Holder.NodeId);
        int slot = view.SlotOf(key.Hash);
        await PutHereAsync(key, Value(0), DeviceWorld.Put with { Group = "g" });
        var owners = OwnersOf(slot);
        using var evicted = new ManualResetEventSlim();
        using var held = new ManualResetEventSlim();
        // The backup does not answer meanwhile, so the move stands between telling the primary and taking place.
        var silence = Task.Factory.StartNew(() =>
        {
            lock (owners[1].Owner!.Table.LockOf(slot))
            {
                held.Set();
                evicted.Wait(Cancel);
            }
        }, Cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        held.Wait(Cancel);
        await ReadIntoDeviceAsync(key);
        await DeviceWorld.UntilAsync(() => RecordAt(owners[0], slot, key).Replicas[0].SegmentId == 1);
        Assert.Equal(1, Holder.Holder.Eviction.DropGroup("g"));
        evicted.Set();
        await silence;
        await DeviceWorld.UntilAsync(() => Holder.Holder.Store.Usage.Used == 0
            && Counters.Overtaken + Counters.Promotions == 1);
        await DeviceWorld.UntilAsync(() => owners.All(owner => !IsOnRecord(owner, slot, key)));
        // By word of the move, not because somebody asked later what is here.
        Assert.All(owners, owner => Assert.Equal(0, owner.Owner!.Owner.Counters.UnclaimedReplicas));
    }

    [Fact]
    public async Task Nobody_in_the_mesh_misses_an_object_that_goes_to_and_fro()
    {
        Holder.Holder.Tiers.Use(new TierOptions
        {
            PromoteAfter = 1, PromoteWithin = TimeSpan.FromMilliseconds(1),
        });
        // The device has room for 83 of the 94.
        var fill = await FillAsync(70, "fill");
        await PromoteAsync(fill);
        var keys = await FillAsync();
        using var done = new CancellationTokenSource();
        var readers = _nodes.ConvertAll(node => Task.Run(async () =>
        {
            for (int i = 0; !done.IsCancellationRequested; i++)
                Assert.Equal(Value(i % Keys), await GetAsync(node, keys[i % Keys]));
        }));
        long before = Counters.Promotions;
        for (int i = 0; Counters.Promotions < before + 40 || Counters.Demotions < 20; i++)
            await ReadIntoDeviceAsync(i % 2 == 0 ? keys[i / 2 % Keys] : fill[i / 2 % fill.Length]);
        await done.CancelAsync();
        await Task.WhenAll(readers);
        Assert.Equal((0, 0), (Counters.Overtaken, Counters.Failures));
        Assert.Equal(0, Holder.Holder.Eviction.Evictions);
    }

    /// <summary>Primary and backup.</summary>
    private MeshNode[] OwnersOf(int slot) =>
        [.. Enumerable.Range(0, 2).Select(place => _nodes.Single(node =>
            node.NodeId == Holder.View.Owner(slot, place)!.NodeId))];

    private static byte[] Value(int i)
    {
        byte[] value = DeviceWorld.Value(Size);
        value[0] = (byte)i;
        return value;
    }

    private static async Task<byte[]> GetAsync(MeshNode node, MeshKey key)
    {
        using var target = new ArrayTarget();
        var got = await node.Operations.GetAsync(key, target, DeviceWorld.Get, Cancel);
        Assert.True(got.Succeeded, got.Error?.ToString());
        return target.Array;
    }

    private static ObjectRecord RecordAt(MeshNode node, int slot, MeshKey key)
    {
        var table = node.Owner!.Table;
        lock (table.LockOf(slot))
        {
            Assert.True(table.TryFind(slot, key, out var record));
            return record.ToRecord();
        }
    }

    private static bool IsOnRecord(MeshNode node, int slot, MeshKey key)
    {
        var table = node.Owner!.Table;
        lock (table.LockOf(slot))
            return table.TryFind(slot, key, out _);
    }

    private async Task<MeshKey[]> FillAsync(int count = Keys, string name = "k")
    {
        var keys = new MeshKey[count];
        for (int i = 0; i < count; i++)
        {
            keys[i] = new MeshKey($"{name}{i}");
            await PutHereAsync(keys[i], Value(i), DeviceWorld.Put);
        }

        return keys;
    }

    /// <summary>A put goes to another node when its owners are not heard in time: then once more.</summary>
    private async Task PutHereAsync(MeshKey key, byte[] value, PutOptions options)
    {
        long end = Environment.TickCount64 + (long)DeviceWorld.Long.TotalMilliseconds;
        while (true)
        {
            var put = await Holder.Operations.PutAsync(key, value, options, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
            if (Holder.Holder.Store.TryFind(key, out _))
                return;
            Assert.True(Environment.TickCount64 < end, $"{key} does not come here");
            await Holder.Operations.RemoveAsync(key, DeviceWorld.Long, Cancel);
        }
    }

    /// <summary>
    /// Reads objects into the device until all of them are there: one whose owner is not heard just then stays until
    /// it is read again.
    /// </summary>
    private async Task PromoteAsync(MeshKey[] keys)
    {
        long before = Counters.Promotions;
        long end = Environment.TickCount64 + (long)DeviceWorld.Long.TotalMilliseconds;
        while (Counters.Promotions - before < keys.Length)
        {
            Assert.True(Environment.TickCount64 < end,
                $"{Counters.Promotions - before} of {keys.Length}, {Counters.Failures} failures");
            foreach (var key in keys)
            {
                if (!Holder.Holder.Store.TryFind(key, out var held) || held.Extent.SegmentId != 1)
                    await ReadIntoDeviceAsync(key);
            }

            await Task.Delay(50, Cancel);
        }
    }

    private async Task ReadIntoDeviceAsync(MeshKey key)
    {
        var (block, to) = DeviceWorld.Buffer(_devices, new byte[Size], "cuda:0");
        using (block)
        {
            var got = await Holder.Operations.GetAsync(key, new RangeTarget(to), DeviceWorld.Get, Cancel);
            Assert.True(got.Succeeded, got.Error?.ToString());
        }
    }

    private sealed class WatchedWords : IWordRule
    {
        private readonly WordRule _rule = new();

        /// <summary>Called before a word changes, under the lock of the store.</summary>
        public Action<GenerationTable, long>? OnLeft { get; set; }

        public ulong Given(GenerationTable words, long offset) => _rule.Given(words, offset);

        public void Left(GenerationTable words, long offset)
        {
            OnLeft?.Invoke(words, offset);
            _rule.Left(words, offset);
        }
    }
}
