// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>The bounds of reservations: how many, and how long.</summary>
public sealed class ReservationBoundTests
{
    private static readonly PutHead Head = new(new MeshKey("k"), 1, 1, 1, false, int.MaxValue);

    [Fact]
    public void So_many_reservations_and_not_more_and_the_last_takes_no_memory()
    {
        var time = new ManualTimeProvider();
        var runtime = new MeshRuntime { Network = null!, Time = time };
        using var store = StoreOf(runtime);
        var book = new ReservationBook(store, runtime);
        var ids = new List<ulong>();
        for (int i = 0; i < ReservationBook.MaxReservations; i++)
            ids.Add(Add(book, store).Value);
        long filling = store.Usage.Filling;
        var refused = Add(book, store);
        Assert.Equal(MeshErrorCode.Busy, refused.Error?.Code);
        Assert.Contains($"{ReservationBook.MaxReservations} reservations", refused.Error!.Message,
            StringComparison.Ordinal);
        Assert.Equal(filling, store.Usage.Filling);
        Assert.True(book.Abandon(ids[0]));
        Assert.True(Add(book, store).Succeeded);
    }

    [Fact]
    public void A_caller_that_would_wait_for_weeks_holds_memory_for_minutes()
    {
        var time = new ManualTimeProvider();
        var runtime = new MeshRuntime { Network = null!, Time = time };
        using var store = StoreOf(runtime);
        var book = new ReservationBook(store, runtime);
        Add(book, store);
        time.Advance(ReservationBook.LongestReservation);
        book.Expire();
        Assert.Equal(1, book.Count);
        time.Advance(TimeSpan.FromSeconds(3));
        book.Expire();
        Assert.Equal(0, book.Count);
        Assert.Equal(0, store.Usage.Filling);
    }

    private static MeshResult<ulong> Add(ReservationBook book, ObjectStore store) =>
        book.Add(store.Reserve(new MeshKey("k"), 1, 1).Value, Head, null);

    private static ObjectStore StoreOf(MeshRuntime runtime) => ObjectStore.Create(
        [new SegmentOptions { Length = 32 << 20, HugePages = false, PreTouch = false }], runtime).Value;
}
