// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

public sealed class ObjectStoreTests
{
    [Fact]
    public unsafe void An_object_goes_from_reserved_to_found()
    {
        using ObjectStore store = Create(4 * Granule);
        var key = new MeshKey("a");
        Reservation reservation = store.Reserve(key, 9, 5_000).Value;
        new Span<byte>(HostBytes.Of(reservation.BytesOf(0)), 5_000).Fill(0x5a);
        Assert.Equal(2 * Granule, store.Usage.Filling);
        HeldObject held = store.Seal(reservation, checksum: 77);
        Assert.Equal((0, 2 * Granule), (store.Usage.Filling, store.Usage.Live));
        Assert.False(store.TryFind(key, out _));
        Assert.True(store.Commit(held, Version(1)));
        Assert.True(store.TryFind(key, out HeldObject? found));
        Assert.Equal(held, found);
        Assert.Equal((9ul, 5_000L, 77ul, Version(1)), (found.ObjectId, found.Size, found.Checksum, found.Version));
        Assert.True(store.TryPin(0, held.Extent.Offset, held.Extent.Generation, out ExtentPin? pin));
        using (pin)
            Assert.Equal(0x5a, new Span<byte>(HostBytes.Of(pin.Bytes), (int)pin.Length)[4_999]);
        Assert.Throws<InvalidOperationException>(() => store.Seal(reservation, 0));
        Assert.Equal(1, store.Usage.Objects);
    }

    [Fact]
    public void Reserve_names_the_limit_it_met()
    {
        using ObjectStore store = Create(4 * Granule, 2 * Granule);
        Committed(store, "a", 1, 3 * Granule);
        MeshError full = store.Reserve(new MeshKey("b"), 1, 3 * Granule).Error!;
        Assert.Equal(MeshErrorCode.NoSpace, full.Code);
        Assert.Equal("no room for 12288 bytes; the largest size with room now is 8192 bytes, in up to 64 extents",
            full.Message);
        MeshError never = store.Reserve(new MeshKey("b"), 1, (4 * Granule) + 1).Error!;
        Assert.Equal(MeshErrorCode.InvalidArgument, never.Code);
        Assert.Equal("size is 16385 bytes; the limit is 16384 bytes, all that its segments can hold", never.Message);
        Assert.Equal(MeshErrorCode.InvalidArgument, store.Reserve(new MeshKey("b"), 1, -1).Error!.Code);
        Assert.Equal(MeshErrorCode.InvalidArgument, store.Reserve(new MeshKey("b"), 0, 1).Error!.Code);
        Assert.Equal(MeshErrorCode.InvalidKey, store.Reserve(default, 1, 1).Error!.Code);
        AddsUp(store);
    }

    [Fact]
    public void A_node_without_memory_holds_nothing()
    {
        using ObjectStore store = Create();
        Assert.Equal(MeshErrorCode.NoSpace, store.Reserve(new MeshKey("a"), 1, 1).Error!.Code);
        Assert.Equal(default, store.Usage);
        Assert.False(store.TryPin(0, 0, 1, out _));
    }

    [Fact]
    public void Every_fault_of_the_options_is_named()
    {
        MeshError error = ObjectStore.Create(
            [new SegmentOptions(), new SegmentOptions { Length = 1, Location = "disk" }], Runtime).Error!;
        Assert.Equal((MeshErrorCode.InvalidArgument, "config:segments"), (error.Code, error.Stage));
        Assert.Contains("segments[0].length is 0 bytes", error.Message, StringComparison.Ordinal);
        Assert.Contains("segments[1].location is 'disk'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_word_changes_on_drop_discard_and_abort_and_never_comes_back()
    {
        using ObjectStore store = Create(Granule);
        var words = new HashSet<ulong>();
        for (ulong id = 1; id <= 300; id++)
        {
            Reservation reservation = store.Reserve(new MeshKey("a"), id, 10).Value;
            Extent extent = reservation.Extents[0];
            Assert.True(words.Add(extent.Generation));
            Assert.Equal(extent.Generation, store.Segments[0].Generations.Read(0));
            if (id % 3 == 0)
            {
                store.Abort(reservation);
                store.Abort(reservation);
                Assert.False(store.TrySeal(reservation, 0, out _));
            }
            else
            {
                HeldObject held = store.Seal(reservation, 0);
                if (id % 3 == 1)
                    Assert.True(store.Commit(held, Version(1)) && store.Drop(held.Key, id));
                else
                    store.Discard(held);
                store.Discard(held);
            }

            Assert.True(words.Add(store.Segments[0].Generations.Read(0)));
            Assert.False(store.TryPin(0, 0, extent.Generation, out _));
            AddsUp(store);
        }

        Assert.Equal(Granule, store.Usage.Free);
    }

    [Fact]
    public void A_dropped_object_in_use_is_a_zombie_until_its_last_pin_ends()
    {
        using ObjectStore store = Create(2 * Granule);
        HeldObject held = Committed(store, "a", 1, 2 * Granule);
        Extent extent = held.Extent;
        Assert.True(store.TryPin(0, extent.Offset, extent.Generation, out ExtentPin? first));
        Assert.True(store.TryPin(0, extent.Offset, extent.Generation, out ExtentPin? second));
        Assert.True(store.Drop(held.Key, 1));
        Assert.NotEqual(extent.Generation, store.Segments[0].Generations.Read(extent.Offset));
        Assert.False(store.TryFind(held.Key, out _));
        Assert.False(store.Drop(held.Key, 1));
        Assert.False(store.TryPin(0, extent.Offset, extent.Generation, out _));
        Assert.Equal((0, 2 * Granule, 0), (store.Usage.Live, store.Usage.Zombie, store.Usage.Free));
        Assert.Equal(MeshErrorCode.NoSpace, store.Reserve(new MeshKey("b"), 2, 1).Error!.Code);
        first.Dispose();
        first.Dispose();
        Assert.Equal(2 * Granule, store.Usage.Zombie);
        second.Dispose();
        Assert.Equal((0, 2 * Granule), (store.Usage.Zombie, store.Usage.LargestFree));
        unsafe
        {
            Assert.Throws<ObjectDisposedException>(() => _ = (nint)HostBytes.Of(second.Bytes));
        }
    }

    [Fact]
    public void The_greater_version_stays()
    {
        using ObjectStore store = Create(8 * Granule);
        HeldObject second = Committed(store, "a", 2, 1, version: 2);
        HeldObject older = Sealed(store, "a", 1, 1);
        Assert.False(store.Commit(older, Version(1)));
        HeldObject equal = Sealed(store, "a", 2, 1);
        Assert.False(store.Commit(equal, Version(2)));
        Assert.False(store.Commit(equal, Version(9)));
        Assert.True(store.TryFind(second.Key, out HeldObject? found));
        Assert.Equal(second, found);
        HeldObject third = Committed(store, "a", 3, 1, version: 3);
        Assert.True(store.Commit(third, Version(3)));
        Assert.True(store.TryFind(second.Key, out found));
        Assert.Equal(third, found);
        Assert.False(store.Drop(second.Key, 2));
        Assert.Equal((Granule, 1L), (store.Usage.Live, store.Usage.Objects));
        Assert.Throws<ArgumentException>(() => store.Commit(third, default));
        AddsUp(store);
    }

    [Fact]
    public void A_version_only_grows()
    {
        using ObjectStore store = Create(Granule);
        HeldObject held = Committed(store, "a", 1, 1, version: 5);
        Assert.False(store.SetVersion(held.Key, 1, Version(5)));
        Assert.False(store.SetVersion(held.Key, 2, Version(6)));
        Assert.False(store.SetVersion(new MeshKey("b"), 1, Version(6)));
        Assert.True(store.SetVersion(held.Key, 1, Version(6)));
        Assert.True(store.TryFind(held.Key, out HeldObject? found));
        Assert.Equal(Version(6), found.Version);
    }

    [Fact]
    public void Ranges_come_by_hash_page_by_page()
    {
        using ObjectStore store = Create(600 * Granule);
        var all = new List<HeldObject>();
        for (int i = 0; i < 500; i++)
            all.Add(Committed(store, $"key-{i}", 1, 1));
        Sealed(store, "sealed", 1, 1);
        all.Sort((left, right) => left.Key.Hash.CompareTo(right.Key.Hash));
        ulong from = all[50].Key.Hash;
        ulong to = all[449].Key.Hash;
        var paged = new List<HeldObject>();
        for (ulong next = from; store.ListRange(next, to, 7, paged) >= 7; next = paged[^1].Key.Hash + 1)
        {
        }

        Assert.Equal(all.GetRange(50, 400), paged);
        paged.Clear();
        Assert.Equal(500, store.ListRange(0, ulong.MaxValue, 10_000, paged));
        Assert.Equal(all, paged);
        Assert.Equal(0, store.ListRange(from + 1, from, 10, paged));
        foreach (HeldObject held in all)
            Assert.True(store.Drop(held.Key, 1));
        Assert.Equal(0, store.ListRange(0, ulong.MaxValue, 10, paged));
    }

    [Fact]
    public void Victims_come_oldest_first_and_once()
    {
        using ObjectStore store = Create(10 * Granule);
        HeldObject[] held = [.. Enumerable.Range(0, 4).Select(i => Committed(store, $"{i}", 1, 2 * Granule))];
        HeldObject sealedOnly = Sealed(store, "sealed", 1, 1);
        var victims = new List<HeldObject>();
        store.ProposeVictims(Granule + 1, victims);
        Assert.Equal([held[0]], victims);
        store.ProposeVictims(3 * Granule, victims);
        Assert.Equal([held[0], held[1], held[2]], victims);
        Assert.True(store.IsProposed(held[1]));
        Assert.False(store.IsProposed(held[3]));
        store.RefuseVictim(held[1]);
        Assert.False(store.IsProposed(held[1]));
        store.RefuseVictim(held[1]);
        store.RefuseVictim(held[3]);
        Assert.True(store.Drop(held[0].Key, 1));
        store.RefuseVictim(held[0]);
        victims.Clear();
        store.ProposeVictims(long.MaxValue, victims);
        Assert.Equal([held[3], held[1]], victims);
        victims.Clear();
        store.ProposeVictims(long.MaxValue, victims);
        Assert.Empty(victims);
        Assert.True(store.Commit(sealedOnly, Version(1)));
        store.ProposeVictims(1, victims);
        Assert.Equal([sealedOnly], victims);
    }

    [Fact]
    public void A_pinned_object_is_no_victim()
    {
        using ObjectStore store = Create(4 * Granule);
        HeldObject pinned = Committed(store, "a", 1, 1);
        HeldObject other = Committed(store, "b", 1, 1);
        Assert.True(store.TryPin(0, pinned.Extent.Offset, pinned.Extent.Generation, out ExtentPin? pin));
        var victims = new List<HeldObject>();
        store.ProposeVictims(long.MaxValue, victims);
        Assert.Equal([other], victims);
        pin.Dispose();
        store.ProposeVictims(long.MaxValue, victims);
        Assert.Equal([other, pinned], victims);
    }

    [Fact]
    public unsafe void Memory_in_use_outlives_the_store()
    {
        ObjectStore store = Create(4 * Granule);
        HeldObject held = Committed(store, "a", 1, 1);
        Reservation reservation = store.Reserve(new MeshKey("b"), 1, 1).Value;
        Assert.True(store.TryPin(0, held.Extent.Offset, held.Extent.Generation, out ExtentPin? pin));
        store.Dispose();
        store.Dispose();
        Assert.False(store.TryFind(held.Key, out _));
        Assert.False(store.TryPin(0, held.Extent.Offset, held.Extent.Generation, out _));
        Assert.Equal(MeshErrorCode.Closed, store.Reserve(new MeshKey("c"), 1, 1).Error!.Code);
        *HostBytes.Of(reservation.BytesOf(0)) = *HostBytes.Of(pin.Bytes);
        pin.Dispose();
        Assert.False(store.Segments[0].Memory.Host!.Pointer is null);
        HeldObject late = store.Seal(reservation, 0);
        Assert.True(store.Segments[0].Memory.Host!.Pointer is null);
        Assert.False(store.Commit(late, Version(1)));
        AddsUp(store);
    }

    [Fact]
    public async Task Segments_are_touched_in_the_background()
    {
        SegmentOptions[] options = [new() { Length = 1 << 20 }, new() { Length = 1, PreTouch = false }];
        using ObjectStore store = ObjectStore.Create(options, Runtime).Value;
        await store.TouchAsync(Runtime);
        Assert.Equal((1 << 20) + Granule, store.Usage.Capacity);
    }
}
