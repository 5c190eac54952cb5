// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

public sealed class ObjectStoreConcurrencyTests
{
    private const int Keys = 40;
    private const int Steps = 6_000;

    [Fact]
    public async Task Usage_adds_up_and_readers_see_whole_objects_under_random_operations()
    {
        using ObjectStore store = Create(64 * Granule, 16 * Granule);
        long version = 0;
        var workers = new List<Task>();
        for (int seed = 0; seed < 3; seed++)
        {
            int mine = seed;
            workers.Add(Task.Run(() => Work(store, new Random(mine), () => Interlocked.Increment(ref version))));
        }

        workers.Add(Task.Run(() => Read(store, new Random(99))));
        await Task.WhenAll(workers);
        var last = new MeshKey("0");
        Put(store, last, Version(Interlocked.Increment(ref version)));
        Assert.True(Read(store, new Random(98)) > 0);
        for (int i = 0; i < Keys; i++)
        {
            if (store.TryFind(new MeshKey($"{i}"), out HeldObject? held))
                Assert.True(store.Drop(held.Key, held.ObjectId));
        }

        StoreUsage usage = store.Usage;
        Assert.Equal((usage.Capacity, 0, 0), (usage.Free, usage.Used, usage.Objects));
        Assert.Equal(64 * Granule, usage.LargestFree);
    }

    private static unsafe void Work(ObjectStore store, Random random, Func<long> nextVersion)
    {
        var pins = new List<(ulong ObjectId, ExtentPin Pin)>();
        var victims = new List<HeldObject>();
        for (int step = 0; step < Steps; step++)
        {
            var key = new MeshKey($"{random.Next(Keys)}");
            if (random.Next(3) > 0)
            {
                Put(store, random, key, nextVersion, victims);
            }
            else if (store.TryFind(key, out HeldObject? held))
            {
                Extent extent = held.Extent;
                if (random.Next(2) == 0)
                    store.Drop(key, held.ObjectId);
                else if (store.TryPin(extent.SegmentId, extent.Offset, extent.Generation, out ExtentPin? pin))
                    pins.Add((held.ObjectId, pin));
            }

            if (pins.Count > 3)
            {
                (ulong expected, ExtentPin pin) = pins[0];
                foreach (ulong word in new ReadOnlySpan<ulong>(HostBytes.Of(pin.Bytes), (int)(pin.Length / 8)))
                    Assert.Equal(expected, word);
                pin.Dispose();
                pins.RemoveAt(0);
            }

            AddsUp(store);
        }

        foreach ((ulong _, ExtentPin pin) in pins)
            pin.Dispose();
    }

    private static unsafe void Put(
        ObjectStore store, Random random, MeshKey key, Func<long> nextVersion, List<HeldObject> victims)
    {
        long size = 8 * random.Next(1, (int)Granule / 2);
        ulong objectId = (ulong)random.NextInt64(1, long.MaxValue);
        MeshResult<Reservation> result = store.Reserve(key, objectId, size);
        if (!result.Succeeded)
        {
            Assert.Equal(MeshErrorCode.NoSpace, result.Error!.Code);
            victims.Clear();
            store.ProposeVictims(size, victims);
            foreach (HeldObject victim in victims)
            {
                if (random.Next(4) == 0)
                    store.RefuseVictim(victim);
                else
                    store.Drop(victim.Key, victim.ObjectId);
            }

            return;
        }

        Reservation reservation = result.Value;
        new Span<ulong>(HostBytes.Of(reservation.BytesOf(0)), (int)(size / 8)).Fill(objectId);
        int fate = random.Next(10);
        if (fate == 0)
        {
            store.Abort(reservation);
            return;
        }

        HeldObject held = store.Seal(reservation, objectId);
        if (fate == 1)
            store.Discard(held);
        else
            store.Commit(held, Version(nextVersion()));
    }

    // As a same-host reader does it: bytes without a pin, a barrier, then the word.
    private static unsafe int Read(ObjectStore store, Random random)
    {
        byte[] bytes = new byte[Granule * 4];
        int verified = 0;
        for (int step = 0; step < Steps * 4; step++)
        {
            if (!store.TryFind(new MeshKey($"{random.Next(Keys)}"), out HeldObject? held))
                continue;
            Extent extent = held.Extent;
            Segment segment = store.Segments[extent.SegmentId];
            var copy = bytes.AsSpan(0, (int)extent.Length);
            new ReadOnlySpan<byte>(segment.Memory.Host!.Pointer + extent.Offset, copy.Length).CopyTo(copy);
            Interlocked.MemoryBarrier();
            if (segment.Generations.Read(extent.Offset) != extent.Generation)
                continue;
            verified++;
            foreach (ulong word in System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(copy))
                Assert.Equal(held.ObjectId, word);
        }

        return verified;
    }

    // All is quiet: there is room once one object has gone.
    private static unsafe void Put(ObjectStore store, MeshKey key, RecordVersion version)
    {
        for (int i = 0; i < Keys && store.Usage.LargestFree == 0; i++)
        {
            if (store.TryFind(new MeshKey($"{i}"), out HeldObject? held))
                store.Drop(held.Key, held.ObjectId);
        }

        Reservation reservation = store.Reserve(key, 1, 8).Value;
        *(ulong*)HostBytes.Of(reservation.BytesOf(0)) = 1;
        Assert.True(store.Commit(store.Seal(reservation, 0), version));
    }
}
