// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

/// <summary>Pins and groups in the holder's object table.</summary>
public sealed class VictimOrderTests : IDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly ObjectStore _store;
    private ulong _ids;

    public VictimOrderTests()
    {
        var options = new SegmentOptions { Length = 16 * Granule, HugePages = false, PreTouch = false };
        _store = ObjectStore.Create([options], Runtime with { Time = _time }).Value;
    }

    public void Dispose() => _store.Dispose();

    [Fact]
    public void Hard_pins_are_never_proposed_and_soft_ones_last()
    {
        Put("hard", ObjectPin.Hard);
        Put("soft", ObjectPin.Soft);
        Put("a");
        Put("b");
        Assert.Equal(["a"], Propose(Granule));
        Assert.Equal(["b", "soft"], Propose(9 * Granule));
        Assert.Empty(Propose(9 * Granule));
    }

    [Fact]
    public void A_soft_pin_ends_after_half_an_hour_and_a_put_renews_it()
    {
        HeldObject soft = Put("soft", ObjectPin.Soft);
        HeldObject renewed = Put("renewed", ObjectPin.Soft);
        Put("later");
        _time.Advance(TimeSpan.FromMinutes(20));
        Assert.True(_store.Pin(renewed.Key, renewed.ObjectId, ObjectPin.Soft).Value);
        _time.Advance(TimeSpan.FromMinutes(10));
        // The one whose pin has ended goes to the back of the others.
        Assert.Equal(["later", "soft", "renewed"], Propose(3 * Granule));
        Assert.True(_store.Drop(soft.Key, soft.ObjectId));
        _store.RefuseVictim(renewed);
        Assert.Equal(["renewed"], Propose(Granule));
    }

    [Fact]
    public void Hard_pinned_bytes_have_a_limit_of_their_own_and_come_back()
    {
        var held = new List<HeldObject>();
        for (int i = 0; i < 8; i++)
            held.Add(Put($"{i}", ObjectPin.Hard));
        MeshError full = Reserve("9", ObjectPin.Hard).Error!;
        Assert.Equal(MeshErrorCode.PinLimit, full.Code);
        Assert.Contains($"{8 * Granule} bytes", full.Message, StringComparison.Ordinal);
        HeldObject plain = Put("plain");
        Assert.Equal(MeshErrorCode.PinLimit, _store.Pin(plain.Key, plain.ObjectId, ObjectPin.Hard).Error!.Code);
        Assert.True(_store.Drop(held[0].Key, held[0].ObjectId));
        Assert.True(_store.Pin(plain.Key, plain.ObjectId, ObjectPin.Hard).Value);
        Assert.Equal(8 * Granule, _store.Usage.HardPinned);
        Assert.True(_store.Drop(held[1].Key, held[1].ObjectId));
        _store.Abort(Reserve("9", ObjectPin.Hard).Value);
        _store.Discard(_store.Seal(Reserve("9", ObjectPin.Hard).Value, 0));
        Assert.Equal(7 * Granule, _store.Usage.HardPinned);
        Assert.Empty(Propose(Granule));
        AddsUp(_store);
    }

    [Fact]
    public void A_pin_holds_from_the_moment_it_is_set_even_while_proposed()
    {
        HeldObject held = Put("a");
        Assert.Equal(["a"], Propose(Granule));
        Assert.True(_store.Pin(held.Key, held.ObjectId, ObjectPin.Hard).Value);
        _store.RefuseVictim(held);
        Assert.Empty(Propose(Granule));
        Assert.True(_store.Pin(held.Key, held.ObjectId, ObjectPin.Soft).Value);
        Assert.Empty(Propose(Granule));
        Assert.False(_store.Pin(held.Key, held.ObjectId + 1, ObjectPin.Soft).Value);
    }

    [Fact]
    public void One_member_stands_for_its_group_and_takes_all_but_hard_pins_along()
    {
        Put("x");
        HeldObject first = Put("g1", group: "g");
        Put("g2", group: "g");
        Put("g3", ObjectPin.Hard, "g");
        Put("h1", group: "h");
        Assert.Equal(["x", "g1"], Propose(4 * Granule));
        Assert.True(_store.Drop(first.Key, first.ObjectId));
        var dropped = new List<HeldObject>();
        _store.DropGroup("g", dropped);
        Assert.Equal(["g2"], dropped.ConvertAll(h => h.Key.ToString()));
        dropped.Clear();
        _store.DropGroup("g", dropped);
        _store.DropGroup("no such group", dropped);
        Assert.Empty(dropped);
        Assert.True(_store.TryFind(new MeshKey("g3"), out _));
        Assert.Equal(["h1"], Propose(Granule));
        AddsUp(_store);
    }

    [Fact]
    public void Nothing_older_than_a_removal_of_everything_stays_or_is_committed()
    {
        HeldObject old = Put("old");
        HeldObject sealedOnly = _store.Seal(Reserve("sealed", ObjectPin.None).Value, 0);
        _store.Clear(3);
        Assert.Equal(CommitOutcome.Cleared, _store.TryCommit(sealedOnly, new CommitAs(Version(1), 2)));
        Assert.Equal(CommitOutcome.Visible, _store.TryCommit(sealedOnly, new CommitAs(Version(2), 3)));
        ulong? from = 0;
        for (int pages = 0; from is { } start; pages++)
        {
            Assert.InRange(pages, 0, 4);
            from = _store.DropCleared(start, 1);
        }

        Assert.False(_store.TryFind(old.Key, out _));
        Assert.True(_store.TryFind(sealedOnly.Key, out _));
        Assert.Equal(1, _store.Usage.Objects);
        AddsUp(_store);
    }

    [Fact]
    public void Attributes_out_of_bounds_are_refused_by_name()
    {
        string group = new('\u00e9', 129);
        MeshError error = _store.Reserve(new MeshKey("a"), 1, 1, new HeldAttributes(ObjectPin.None, group)).Error!;
        Assert.Equal(MeshErrorCode.InvalidArgument, error.Code);
        Assert.Contains("258 bytes; the limit is 256", error.Message, StringComparison.Ordinal);
        Assert.Equal(MeshErrorCode.InvalidArgument,
            _store.Reserve(new MeshKey("a"), 1, 1, new HeldAttributes((ObjectPin)3, null)).Error!.Code);
    }

    private MeshResult<Reservation> Reserve(string key, ObjectPin pin, string? group = null) =>
        _store.Reserve(new MeshKey(key), ++_ids, 1, new HeldAttributes(pin, group));

    private HeldObject Put(string key, ObjectPin pin = ObjectPin.None, string? group = null)
    {
        HeldObject held = _store.Seal(Reserve(key, pin, group).Value, 0);
        Assert.True(_store.Commit(held, Version(1)));
        return held;
    }

    private List<string> Propose(long bytes)
    {
        var victims = new List<HeldObject>();
        _store.ProposeVictims(bytes, victims);
        return victims.ConvertAll(v => v.Key.ToString());
    }
}
