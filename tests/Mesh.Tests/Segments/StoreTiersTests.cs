// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

/// <summary>What becomes of an object while it moves.</summary>
public enum MoveRace
{
    Removed,
    Replaced,
    GroupGone,
    Cleared,
    SegmentRetired,
    StoreClosed,
}

/// <summary>The two tiers of a store, move by move. Segment 0 is the host's; "cuda:0" has 1, "cuda:1" 2.</summary>
public sealed class StoreTiersTests : IDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly DeviceDouble _devices = new();
    private ObjectStore? _store;
    private ulong _ids;

    private ObjectStore Store => _store ?? throw new InvalidOperationException("no store yet");

    private StoreTiers Tiers => Store.Tiers ?? throw new InvalidOperationException("no tiers");

    public void Dispose() => _store?.Dispose();

    [Theory]
    [InlineData(TierPlace.Dram, "0 0 0 0 1 2 1 2")]
    [InlineData(TierPlace.Vram, "1 2 1 2 0 0 0 0")]
    [InlineData(TierPlace.Any, "0 0 0 1 2 0 1 2")]
    public void Objects_go_where_they_shall_while_there_is_room(TierPlace place, string segments)
    {
        Make(new TierOptions { Place = place }, 4, 2, 2);
        Assert.Equal(segments.Split(' ').Select(int.Parse),
            Enumerable.Range(0, 8).Select(i => Put($"{i}").Extent.SegmentId));
        Assert.False(Store.Reserve(new MeshKey("more"), 1, Granule).Succeeded);
    }

    [Fact]
    public void One_extent_anywhere_is_better_than_several_and_several_in_one_tier_than_in_both()
    {
        const long Slice = ObjectSum.SmallestSlice;
        Make(new TierOptions(), 4 * Slice / Granule, 2 * Slice / Granule);
        HeldObject[] host = [.. Enumerable.Range(0, 4).Select(i => Put($"{i}", Slice))];
        Assert.True(Store.Drop(host[0].Key, host[0].ObjectId));
        Assert.True(Store.Drop(host[2].Key, host[2].ObjectId));
        HeldObject whole = Put("whole", 2 * Slice);
        Assert.Equal((1, false), (whole.Extent.SegmentId, whole.IsScattered));
        Reservation pieces = Store.Reserve(new MeshKey("pieces"), 99, 2 * Slice).Value;
        Assert.Equal([0, 0], pieces.Extents.Select(extent => extent.SegmentId));
        Store.Abort(pieces);
        Assert.True(Store.Drop(whole.Key, whole.ObjectId));
        pieces = Store.Reserve(new MeshKey("pieces"), 99, 3 * Slice).Value;
        Assert.Equal([0, 1], pieces.Extents.Select(extent => extent.SegmentId).Distinct().Order());
        Store.Abort(pieces);
    }

    [Fact]
    public void A_store_of_one_kind_of_memory_has_no_tiers()
    {
        using var host = TestStores.Create(Granule, Granule);
        Assert.Null(host.Tiers);
        using var device = ObjectStore.Create([Device(0, 1), Device(1, 1)], Runtime with { Devices = _devices }).Value;
        Assert.Null(device.Tiers);
    }

    [Fact]
    public void A_demoted_object_is_the_same_one_in_another_place()
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 4, 2);
        HeldObject old = Put("a", Granule, ObjectPin.Soft, "group");
        Put("b");
        TierMove move = Tiers.BeginDemotion()!;
        Assert.Equal((old, false), (move.Source, move.ToDevice));
        Assert.Equal(0, move.Target.Extents[0].SegmentId);
        Assert.Null(Tiers.BeginDemotion());
        HeldObject copy = Tiers.Seal(move)!;
        Assert.True(Store.TryFind(old.Key, out HeldObject? found));
        Assert.Equal(old.Extent, found.Extent);
        // Who is told of the copy may read it before it takes the place.
        Assert.True(Store.TryPin(0, copy.Extent.Offset, copy.Extent.Generation, out ExtentPin? early));
        early.Dispose();
        Assert.True(Tiers.TryFinish());
        Tiers.End(move);
        Assert.True(Store.TryFind(old.Key, out found));
        Assert.Equal(copy.Extent, found.Extent);
        Assert.Equal((old.ObjectId, old.Version, old.Checksum, old.Size, old.Attributes),
            (found.ObjectId, found.Version, found.Checksum, found.Size, found.Attributes));
        Assert.True((long)(copy.Extent.Generation - old.Extent.Generation) > 0);
        Assert.NotEqual(old.Extent.Generation, Store.Segments[1].Generations.Read(old.Extent.Offset));
        Assert.False(Store.TryPin(1, old.Extent.Offset, old.Extent.Generation, out _));
        Assert.Equal(2 * Granule, Store.Usage.Live);
        Assert.Equal(new TierRoom(2 * Granule, Granule, Granule), Tiers.RoomOf(Tier.Vram));
        AddsUp(Store);
        var group = new List<HeldObject>();
        Store.DropGroup("group", group);
        Assert.Equal(copy.Extent, Assert.Single(group).Extent);
        Assert.Equal(Granule, Store.Usage.Used);
        Assert.Empty(Store.OpenWords().Words);
    }

    [Fact]
    public void It_keeps_its_place_among_the_victims()
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 4, 3);
        Put("soft", Granule, ObjectPin.Soft);
        Put("a");
        Put("b");
        for (int i = 0; i < 2; i++)
            Assert.True(Demote());
        Assert.True(Store.TryFind(new MeshKey("a"), out HeldObject? a));
        Assert.Equal(0, a.Extent.SegmentId);
        var victims = new List<HeldObject>();
        Store.ProposeVictims(long.MaxValue, victims);
        Assert.Equal(["a", "b", "soft"], victims.Select(victim => victim.Key.ToString()));
    }

    [Fact]
    public void What_was_pinned_hard_meanwhile_is_pinned_in_its_new_place_and_counts_once()
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 4, 1);
        HeldObject old = Put("a");
        TierMove move = Tiers.BeginDemotion()!;
        Assert.NotNull(Tiers.Seal(move));
        Assert.True(Store.Pin(old.Key, old.ObjectId, ObjectPin.Hard).Value);
        Assert.True(Tiers.TryFinish());
        Tiers.End(move);
        Assert.Equal(Granule, Store.Usage.HardPinned);
        var victims = new List<HeldObject>();
        Store.ProposeVictims(long.MaxValue, victims);
        Assert.Empty(victims);
        Assert.True(Store.Drop(old.Key, old.ObjectId));
        Assert.Equal((0, 0), (Store.Usage.HardPinned, Store.Usage.Used));
    }

    [Fact]
    public void A_reader_of_the_old_place_keeps_its_bytes_until_it_is_done()
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 4, 1);
        HeldObject old = Put("a");
        TierMove move = Tiers.BeginDemotion()!;
        Assert.True(Store.TryPin(1, old.Extent.Offset, old.Extent.Generation, out ExtentPin? reader));
        Assert.NotNull(Tiers.Seal(move));
        Assert.True(Tiers.TryFinish());
        Tiers.End(move);
        Assert.Equal(Granule, Store.Usage.Zombie);
        Assert.Equal(0, Tiers.RoomOf(Tier.Vram).Free);
        AddsUp(Store);
        reader.Dispose();
        Assert.Equal(0, Store.Usage.Zombie);
        Assert.Equal(Granule, Tiers.RoomOf(Tier.Vram).Free);
    }

    [Theory]
    [MemberData(nameof(Races))]
    public void Whatever_befalls_the_object_befalls_its_copy(MoveRace race, bool isSealed)
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 4, 1);
        HeldObject old = Put("a", Granule, ObjectPin.None, "group");
        TierMove move = Tiers.BeginDemotion()!;
        HeldObject? copy = isSealed ? Tiers.Seal(move) : null;
        long left = Happen(race, old);
        if (copy is not null && race != MoveRace.StoreClosed)
        {
            // At once: a removal is answered now, and nobody may read the value after that.
            Assert.NotEqual(copy.Extent.Generation, Store.Segments[0].Generations.Read(copy.Extent.Offset));
            Assert.False(Store.TryPin(0, copy.Extent.Offset, copy.Extent.Generation, out _));
        }

        if (!isSealed)
            Assert.Equal(race == MoveRace.StoreClosed, Tiers.Seal(move) is not null);
        Assert.False(Tiers.TryFinish());
        Tiers.End(move);
        if (race == MoveRace.StoreClosed)
        {
            Assert.Equal(0, _devices.Live);
            return;
        }

        Assert.Equal(left, Store.Usage.Used);
        AddsUp(Store);
        Assert.Equal(race == MoveRace.Replaced, Store.TryFind(old.Key, out _));
        Assert.Empty(Store.OpenWords().Words);
    }

    [Fact]
    public void A_move_that_is_given_up_leaves_everything_as_it_was()
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 4, 1);
        HeldObject old = Put("a");
        StoreUsage before = Store.Usage;
        for (int i = 0; i < 2; i++)
        {
            TierMove move = Tiers.BeginDemotion()!;
            if (i == 1)
                Assert.NotNull(Tiers.Seal(move));
            Tiers.End(move);
            Assert.Equal(before, Store.Usage);
            Assert.True(Store.TryFind(old.Key, out HeldObject? found));
            Assert.Equal(old.Extent, found.Extent);
        }

        Assert.True(Demote());
    }

    [Fact]
    public void Only_what_is_cold_and_free_to_go_leaves_a_device()
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 8, 5);
        HeldObject hard = Put("hard", Granule, ObjectPin.Hard);
        HeldObject warm = Put("warm");
        HeldObject read = Put("read");
        Put("proposed");
        HeldObject cold = Put("cold");
        using (ExtentPin pin = Pin(warm))
            Assert.Null(Tiers.Read(pin, "cuda:0"));
        var victims = new List<HeldObject>();
        Store.ProposeVictims(4 * Granule, victims);
        foreach (HeldObject victim in victims.Where(victim => victim.Key.ToString() != "proposed"))
            Store.RefuseVictim(victim);
        using (Pin(read))
        {
            TierMove move = Tiers.BeginDemotion(null, wanted: true)!;
            Assert.Equal(cold, move.Source);
            Tiers.Seal(move);
            Tiers.TryFinish();
            Tiers.End(move);
            Assert.Null(Tiers.BeginDemotion(null, wanted: true));
        }

        Assert.Equal("read", DemoteAny());
        Assert.Null(DemoteAny());
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal("warm", DemoteAny());
        Assert.Null(DemoteAny());
        Assert.True(Store.TryFind(hard.Key, out HeldObject? still));
        Assert.Equal(1, still.Extent.SegmentId);
    }

    [Fact]
    public void A_full_host_takes_nothing_and_a_device_with_room_gives_nothing()
    {
        Make(new TierOptions { Place = TierPlace.Vram }, 1, 2);
        HeldObject a = Put("a");
        Assert.Null(Tiers.BeginDemotion());
        Put("b");
        Put("c");
        Assert.Null(Tiers.BeginDemotion(null, wanted: true));
        Assert.True(Store.Drop(a.Key, a.ObjectId));
        Assert.True(Store.Drop(new MeshKey("c"), 3));
        Assert.Null(Tiers.BeginDemotion());
        Assert.NotNull(Tiers.BeginDemotion(null, wanted: true));
    }

    [Fact]
    public void An_object_moves_to_the_device_that_reads_it()
    {
        Make(new TierOptions(), 4, 1, 1);
        HeldObject hot = Put("hot");
        using ExtentPin pin = Pin(hot);
        Assert.Null(Tiers.Read(pin, "cuda:1"));
        // Nothing of this node's is there.
        Assert.Null(Tiers.Read(pin, "cuda:7"));
        HeldObject due = Tiers.Read(pin, "cuda:1")!;
        Assert.Equal(hot, due);
        TierMove move = Tiers.BeginPromotion(due, "cuda:1", out bool makeRoom)!;
        Assert.Equal((2, true, false), (move.Target.Extents[0].SegmentId, move.ToDevice, makeRoom));
        Tiers.Seal(move);
        Assert.True(Tiers.TryFinish());
        Tiers.End(move);
        Assert.Null(Tiers.BeginPromotion(due, "cuda:1", out makeRoom));
        Assert.False(makeRoom);
        // What came there because it is read stays for as long as the window.
        Assert.Null(Tiers.BeginDemotion("cuda:1", wanted: true));
    }

    [Fact]
    public void Where_a_device_is_full_something_colder_makes_room_first()
    {
        Make(new TierOptions(), 4, 1);
        HeldObject hot = Put("hot");
        for (int i = 0; i < 3; i++)
            Put($"{i}");
        Put("overflow");
        Assert.Null(Tiers.BeginPromotion(hot, "cuda:0", out bool makeRoom));
        Assert.True(makeRoom);
        // The host is full, too: nothing is dropped for it.
        Assert.Null(Tiers.BeginDemotion("cuda:0", wanted: true));
        Assert.True(Store.Drop(new MeshKey("1"), 3));
        Assert.Equal("overflow", DemoteAny());
        Assert.NotNull(Tiers.BeginPromotion(hot, "cuda:0", out _));
    }

    private void Make(TierOptions tiers, long host, params long[] devices)
    {
        SegmentOptions[] segments =
        [
            new() { Length = host * Granule, HugePages = false, PreTouch = false },
            .. devices.Select((granules, i) => Device(i, granules)),
        ];
        _store = ObjectStore.Create(segments, Runtime with { Time = _time, Devices = _devices }, tiers: tiers).Value;
    }

    private static SegmentOptions Device(int number, long granules) =>
        new() { Length = granules * Granule, Location = $"cuda:{number}" };

    private HeldObject Put(string key, long size = Granule, ObjectPin pin = ObjectPin.None, string? group = null,
        long version = 1)
    {
        var reservation = Store.Reserve(new MeshKey(key), ++_ids, size, new HeldAttributes(pin, group)).Value;
        HeldObject held = Store.Seal(reservation, checksum: _ids);
        Assert.True(Store.Commit(held, Version(version)));
        return held;
    }

    private ExtentPin Pin(HeldObject held)
    {
        Assert.True(Store.TryPin(held.Extent.SegmentId, held.Extent.Offset, held.Extent.Generation,
            out ExtentPin? pin));
        return pin;
    }

    private bool Demote() => Tiers.BeginDemotion(null, wanted: true) is { } move && Finish(move);

    private string? DemoteAny()
    {
        if (Tiers.BeginDemotion(null, wanted: true) is not { } move)
            return null;
        Assert.True(Finish(move));
        return move.Source.Key.ToString();
    }

    private bool Finish(TierMove move)
    {
        bool done = Tiers.Seal(move) is not null && Tiers.TryFinish();
        Tiers.End(move);
        return done;
    }

    /// <summary>What is used afterwards.</summary>
    private long Happen(MoveRace race, HeldObject held)
    {
        switch (race)
        {
            case MoveRace.Removed:
                Assert.True(Store.Drop(held.Key, held.ObjectId));
                return 0;
            case MoveRace.Replaced:
                Put("a", 2 * Granule, version: 2);
                return 2 * Granule;
            case MoveRace.GroupGone:
                Store.DropGroup("group", []);
                return 0;
            case MoveRace.Cleared:
                Store.Clear(1);
                Assert.Null(Store.DropCleared(0, 10));
                return 0;
            case MoveRace.SegmentRetired:
                Assert.True(Store.Retired.TryRetire(1));
                Assert.Null(Store.Retired.Drop(1, 0, 10, []));
                return 0;
            default:
                Store.Dispose();
                return 0;
        }
    }

    public static TheoryData<MoveRace, bool> Races()
    {
        var data = new TheoryData<MoveRace, bool>();
        foreach (MoveRace race in Enum.GetValues<MoveRace>())
        {
            data.Add(race, false);
            data.Add(race, true);
        }

        return data;
    }
}
