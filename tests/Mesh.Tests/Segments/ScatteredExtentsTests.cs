// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

/// <summary>Objects for which no single hole is large enough.</summary>
public sealed class ScatteredExtentsTests
{
    private const int Slice = 64 << 10;

    [Fact]
    public void An_object_goes_where_together_there_is_room_and_leaves_all_of_it()
    {
        using ObjectStore store = Create(16 * Slice, 4 * Slice);
        Fragment(store, 20);
        long free = store.Usage.Free;
        long size = (9 * Slice) + 100;
        Reservation reservation = store.Reserve(new MeshKey("large"), 1, size).Value;
        Assert.Equal(10, reservation.Extents.Count);
        Assert.Equal(size, reservation.Extents.Sum(extent => extent.Length));
        Assert.All(reservation.Extents.SkipLast(1), extent => Assert.Equal(0, extent.Length % Slice));
        Assert.Equal(10, reservation.Extents.Select(extent => extent.Generation).Distinct().Count());
        AddsUp(store);
        HeldObject held = store.Seal(reservation, 7);
        Assert.True(store.Commit(held, new RecordVersion(1, 1, 1)));
        Assert.Equal((size, true), (held.Size, held.IsScattered));
        foreach (Extent extent in reservation.Extents)
        {
            Assert.True(store.TryPin(extent.SegmentId, extent.Offset, extent.Generation, out ExtentPin? pin));
            Assert.Equal((extent.Length, 7ul), (pin.Length, pin.Checksum));
            Assert.Equal(reservation.Extents, pin.Extents().ToArray());
            pin.Dispose();
        }

        Assert.True(store.Drop(held.Key, 1));
        AddsUp(store);
        Assert.Equal(free, store.Usage.Free);
        foreach (Extent extent in reservation.Extents)
        {
            Assert.NotEqual(extent.Generation, store.Segments[extent.SegmentId].Generations.Read(extent.Offset));
            Assert.False(store.TryPin(extent.SegmentId, extent.Offset, extent.Generation, out _));
        }
    }

    [Fact]
    public void A_pin_of_one_extent_keeps_them_all()
    {
        using ObjectStore store = Create(8 * Slice);
        Fragment(store, 8);
        Reservation reservation = store.Reserve(new MeshKey("large"), 1, 4 * Slice).Value;
        HeldObject held = store.Seal(reservation, 0);
        Extent third = reservation.Extents[2];
        Assert.True(store.TryPin(third.SegmentId, third.Offset, third.Generation, out ExtentPin? pin));
        store.Discard(held);
        Assert.Equal((0, 4 * Slice), (store.Usage.Free, store.Usage.Zombie));
        pin.Dispose();
        Assert.Equal((4 * Slice, 0), (store.Usage.Free, store.Usage.Zombie));
    }

    [Fact]
    public void An_abort_gives_every_extent_back()
    {
        using ObjectStore store = Create(8 * Slice);
        Fragment(store, 8);
        Reservation reservation = store.Reserve(new MeshKey("large"), 1, 3 * Slice).Value;
        store.Abort(reservation);
        Assert.Equal(4 * Slice, store.Usage.Free);
        Assert.All(reservation.Extents, extent =>
            Assert.NotEqual(extent.Generation, store.Segments[0].Generations.Read(extent.Offset)));
        AddsUp(store);
    }

    [Fact]
    public void More_than_64_extents_are_refused_with_the_size_that_has_room()
    {
        using ObjectStore store = Create(200 * Slice);
        Fragment(store, 200);
        MeshError full = store.Reserve(new MeshKey("large"), 1, 65 * Slice).Error!;
        Assert.Equal(MeshErrorCode.NoSpace, full.Code);
        Assert.Contains($"with room now is {64 * Slice} bytes", full.Message, StringComparison.Ordinal);
        Assert.Equal(100 * Slice, store.Usage.Free);
        Assert.Equal(64, store.Reserve(new MeshKey("large"), 1, 64 * Slice).Value.Extents.Count);
    }

    [Fact]
    public void The_size_that_is_named_is_exactly_what_has_room()
    {
        using ObjectStore store = Create(64 * Slice, 3 * 4096);
        var random = new Random(3);
        var held = new List<HeldObject>();
        while (store.Reserve(new MeshKey($"{held.Count}"), 1, 1 + random.Next(2 * Slice)) is { Succeeded: true } r)
            held.Add(store.Seal(r.Value, 0));
        foreach (HeldObject one in held.Where(_ => random.Next(3) == 0))
            store.Discard(one);
        string message = store.Reserve(new MeshKey("large"), 1, 66 * Slice / 2).Error!.Message;
        long largest = long.Parse(message.Split("now is ")[1].Split(' ')[0]);
        Assert.InRange(largest, 2 * Slice, 33 * Slice);
        Assert.False(store.Reserve(new MeshKey("large"), 1, largest + 1).Succeeded);
        Assert.Equal(largest, store.Reserve(new MeshKey("large"), 1, largest).Value.Size);
    }

    /// <summary>Fills the store with objects of one slice, and drops every other one.</summary>
    private static void Fragment(ObjectStore store, int objects)
    {
        HeldObject[] held = [.. Enumerable.Range(0, objects).Select(i => Committed(store, $"f{i}", 1, Slice))];
        foreach (HeldObject one in held.GroupBy(h => h.Extent.SegmentId)
            .SelectMany(segment => segment.OrderBy(h => h.Extent.Offset).Where((_, at) => at % 2 == 1)))
            store.Drop(one.Key, 1);
    }
}
