// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;

namespace Mooncake.Mesh.Tests.Directory;

[Collection(nameof(Transfer.AloneInProcess))]
public sealed class DirectoryTableTests
{
    private const int Slots = 64;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_operations_leave_what_a_dictionary_would(int seed)
    {
        using var table = new DirectoryTable(Slots);
        var model = new Dictionary<MeshKey, ObjectRecord>();
        var random = new Random(seed);
        for (int step = 0; step < 30_000; step++)
        {
            var key = new MeshKey($"key-{random.Next(800)}");
            int slot = table.SlotOf(key.Hash);
            switch (random.Next(20))
            {
                case < 9:
                    var record = RecordOf(random);
                    table.Set(slot, key, record);
                    model[key] = record;
                    break;
                case < 15:
                    Assert.Equal(model.Remove(key), table.Remove(slot, key));
                    break;
                case 15 when random.Next(200) == 0:
                    table.Clear(slot);
                    foreach (var gone in model.Keys.Where(k => table.SlotOf(k.Hash) == slot).ToList())
                        model.Remove(gone);
                    break;
                default:
                    Assert.Equal(model.TryGetValue(key, out var expected), table.TryFind(slot, key, out var found));
                    if (expected is not null)
                        Same(expected, found.ToRecord());
                    break;
            }

            Assert.Equal(model.Count, table.Count);
        }

        SlotsHold(model, table);
    }

    [Fact]
    public void One_slot_grows_to_any_number_of_records()
    {
        using var table = new DirectoryTable(Slots);
        var keys = KeysOf(table, slot: 7, 5_000);
        for (int i = 0; i < keys.Count; i++)
            table.Set(7, keys[i], RecordOf(new Random(i)));
        Assert.Equal(5_000, table.CountOf(7));
        for (int i = 0; i < keys.Count; i++)
        {
            Assert.True(table.TryFind(7, keys[i], out var record));
            Same(RecordOf(new Random(i)), record.ToRecord());
        }

        var copied = new List<KeyedRecord>();
        table.CopySlot(7, copied, r => r.Removed);
        Assert.Equal(keys.Where((_, i) => RecordOf(new Random(i)).Removed).ToHashSet(),
            copied.Select(c => c.Key).ToHashSet());
        Assert.Equal(0, table.CountOf(6));
        table.CopySlot(6, copied);
        Assert.Equal(new SlotSummary(6, 0, 0), Summary(table, 6));
    }

    [Fact]
    public void A_digest_depends_on_the_records_alone()
    {
        using var one = new DirectoryTable(Slots);
        using var two = new DirectoryTable(Slots);
        var keys = KeysOf(one, slot: 3, 500);
        int[] order = [.. Enumerable.Range(0, keys.Count)];
        foreach (int i in order)
            one.Set(3, keys[i], RecordOf(new Random(i)));
        new Random(5).Shuffle(order);
        foreach (int i in order)
        {
            two.Set(3, keys[i], RecordOf(new Random(i + 10_000)));
            var record = RecordOf(new Random(i));
            two.Set(3, keys[i], record with { Replicas = [.. record.Replicas.Reverse()] });
        }

        var summary = Summary(one, 3);
        Assert.Equal(summary, Summary(two, 3));
        Assert.Equal(500, summary.Count);
        ulong sum = 0;
        foreach (int i in order)
            sum += RecordDigest.Of(keys[i], RecordOf(new Random(i)));
        Assert.Equal(sum, summary.Digest);
    }

    [Fact]
    public void A_digest_sees_every_field_that_must_agree()
    {
        using var table = new DirectoryTable(Slots);
        var key = KeysOf(table, slot: 3, 1)[0];
        var record = new ObjectRecord
        {
            Version = new RecordVersion(1, 2, 3),
            ObjectId = 4,
            Replicas = [new Replica(5, 0, 0, 6), new Replica(7, 0, 0, 8)],
        };
        ObjectRecord[] others =
        [
            record, record with { Version = new RecordVersion(2, 2, 3) }, record with { Version = new(1, 3, 3) },
            record with { Version = new(1, 2, 4) }, record with { ObjectId = 5 }, record with { Removed = true },
            record with { Replicas = [new Replica(5, 0, 0, 6)] },
            record with { Replicas = [new Replica(5, 0, 0, 8), new Replica(7, 0, 0, 6)] },
            record with { Replicas = [] },
        ];
        var seen = new HashSet<ulong>();
        foreach (var other in others)
        {
            table.Set(3, key, other);
            Assert.True(seen.Add(Summary(table, 3).Digest));
        }
    }

    [Fact]
    public void Clearing_a_slot_keeps_its_counter_and_no_record()
    {
        using var table = new DirectoryTable(Slots);
        var keys = KeysOf(table, slot: 9, 100);
        var other = KeysOf(table, slot: 10, 1)[0];
        table.Set(10, other, new ObjectRecord { ObjectId = 1 });
        for (int i = 0; i < keys.Count; i++)
            table.Set(9, keys[i], new ObjectRecord { Version = new RecordVersion(1, 1, 1000 - i), ObjectId = 1 });
        Assert.Equal(1000, table.CounterOf(9));
        table.Clear(9);
        Assert.Equal(0, table.CountOf(9));
        Assert.Equal(1, table.Count);
        Assert.Equal(1000, table.CounterOf(9));
        Assert.Equal(new SlotSummary(9, 0, 0), Summary(table, 9));
        Assert.False(table.TryFind(9, keys[0], out _));
        Assert.False(table.Remove(9, keys[0]));
        table.Clear(9);
        table.Set(9, keys[0], new ObjectRecord { Version = new RecordVersion(1, 1, 5), ObjectId = 2 });
        Assert.True(table.TryFind(9, keys[0], out var record));
        Assert.Equal(2ul, record.ObjectId);
        Assert.True(table.TryFind(10, other, out _));
    }

    [Fact]
    public void A_heat_mark_ends_with_its_record()
    {
        using var table = new DirectoryTable(Slots);
        var key = new MeshKey("k");
        int slot = table.SlotOf(key.Hash);
        table.Set(slot, key, new ObjectRecord { ObjectId = 1 });
        Assert.True(table.TryFind(slot, key, out var record));
        record.Marked = true;
        Assert.True(table.TryFind(slot, key, out var marked));
        Assert.True(marked.Marked);
        Assert.False(marked.Removed);
        table.Set(slot, key, new ObjectRecord { ObjectId = 1 });
        Assert.True(table.TryFind(slot, key, out var again));
        Assert.False(again.Marked);
    }

    [Fact]
    public void Memory_is_given_back()
    {
        byte[] name = new byte[32 * 1024];
        using var table = new DirectoryTable(Slots);
        long after = 0;
        for (int round = 0; round < 40; round++)
        {
            for (int i = 0; i < 500; i++)
            {
                BitConverter.TryWriteBytes(name, i);
                var key = new MeshKey((byte[])name.Clone());
                table.Set(table.SlotOf(key.Hash), key, new ObjectRecord { ObjectId = 1 });
            }

            for (int slot = 0; slot < Slots; slot++)
                table.Clear(slot);
            if (round == 9)
                after = Environment.WorkingSet;
        }

        // 30 rounds of 16 MiB each: kept, they would be 480 MiB.
        Assert.Equal(0, table.Count);
        Assert.InRange(Environment.WorkingSet - after, long.MinValue, 200L << 20);
    }

    /// <summary>Count and digest of a whole slot, part by part.</summary>
    private static SlotSummary Summary(DirectoryTable table, int slot)
    {
        ulong position = 0, digest = 0;
        int count = 0;
        bool ended = false;
        while (!ended)
        {
            var part = new SlotPart();
            part.Begin();
            ended = table.CopyPart(slot, ref position, part);
            count += part.Summary(slot).Count;
            digest += part.Summary(slot).Digest;
        }

        return new SlotSummary(slot, count, digest);
    }

    private static void SlotsHold(Dictionary<MeshKey, ObjectRecord> model, DirectoryTable table)
    {
        var all = new List<KeyedRecord>();
        for (int slot = 0; slot < Slots; slot++)
        {
            int before = all.Count;
            table.CopySlot(slot, all);
            Assert.Equal(all.Count - before, table.CountOf(slot));
            Assert.All(all.Skip(before), r => Assert.Equal(slot, table.SlotOf(r.Key.Hash)));
        }

        Assert.Equal(model.Count, all.Count);
        foreach (var (key, record) in all)
            Same(model[key], record);
    }

    private static List<MeshKey> KeysOf(DirectoryTable table, int slot, int count)
    {
        var keys = new List<MeshKey>();
        for (int i = 0; keys.Count < count; i++)
        {
            var key = new MeshKey($"key {i}");
            if (table.SlotOf(key.Hash) == slot)
                keys.Add(key);
        }

        return keys;
    }

    private static ObjectRecord RecordOf(Random random)
    {
        var replicas = new Replica[random.Next(4)];
        for (int i = 0; i < replicas.Length; i++)
            replicas[i] = new Replica((ulong)random.NextInt64(), i, random.NextInt64(), (ulong)random.NextInt64());
        return new ObjectRecord
        {
            Version = new RecordVersion(random.Next(3), random.Next(10), random.Next(1000)),
            ObjectId = (ulong)random.NextInt64(),
            Size = random.NextInt64(),
            Checksum = (ulong)random.NextInt64(),
            Removed = random.Next(10) == 0,
            Replicas = replicas,
        };
    }

    private static void Same(ObjectRecord expected, ObjectRecord actual)
    {
        Assert.Equal(expected with { Replicas = [] }, actual with { Replicas = [] }, SameFields);
        Assert.Equal(expected.Replicas, actual.Replicas);
    }

    private static bool SameFields(ObjectRecord a, ObjectRecord b) =>
        (a.Version, a.ObjectId, a.Size, a.Checksum, a.Removed)
            == (b.Version, b.ObjectId, b.Size, b.Checksum, b.Removed);
}
