// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>What ends a reservation, and what does not.</summary>
public sealed class ReservationBookTests : IDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly ObjectStore _store;
    private readonly ReservationBook _book;
    private readonly ClientProcess _process = new(1, 2, true, new ClientLimits(ClientWrites.User, 1 << 20, 1 << 20));

    public ReservationBookTests()
    {
        var runtime = new MeshRuntime { Network = new SocketNetwork(), Time = _time };
        _store = ObjectStore.Create([new SegmentOptions { Length = 1 << 20, HugePages = false, PreTouch = false }],
            runtime).Value;
        _book = new ReservationBook(_store, runtime);
    }

    public void Dispose() => _store.Dispose();

    [Fact]
    public void The_deadline_ends_a_reservation_that_the_holder_fills()
    {
        ulong id = _book.Add(Reserve(), Head, null).Value;
        _time.Advance(TimeSpan.FromSeconds(2));
        _book.Expire();
        Assert.NotNull(_book.BeginWrite(id));
        _book.EndWrite(id);
        _time.Advance(TimeSpan.FromHours(1));
        _book.Expire();
        Assert.Null(_book.BeginWrite(id));
        Assert.Equal(0, _store.Usage.Filling);
    }

    [Fact]
    public void No_time_ends_a_reservation_that_a_process_fills_itself()
    {
        Assert.True(Own(7));
        _time.Advance(TimeSpan.FromDays(10));
        _book.Expire();
        Assert.Equal(4096, _store.Usage.Filling);
        Assert.Equal(4096, _process.Usage.ReservedBytes);
        Assert.Equal(_process, _book.Take(7)!.Value.Owner);
        Assert.Equal(0, _process.Usage.ReservedBytes);
    }

    [Fact]
    public void The_end_of_the_process_ends_it()
    {
        Assert.True(Own(7));
        Assert.True(Own(8));
        ulong other = _book.Add(Reserve(), Head, null).Value;
        Assert.True(_process.TryEnd());
        _book.End(_process);
        Assert.Equal((4096, 1), (_store.Usage.Filling, _book.Count));
        Assert.NotNull(_book.Take(other));
        Assert.Null(_book.Take(7));

        // A call of the process that was under way when it ended.
        Assert.False(_book.TryAddOwned(9, Reserve(), Head, _process));
        Assert.Equal(4096, _store.Usage.Filling);
    }

    [Fact]
    public void An_id_is_used_once()
    {
        Assert.True(Own(7));
        Assert.False(Own(7));
        Assert.Equal((4096, 4096L), (_store.Usage.Filling, _process.Usage.ReservedBytes));
    }

    private static PutHead Head => new(new MeshKey("k"), 1, 4096, 1, false, 1000);

    private bool Own(ulong id)
    {
        Assert.Null(_process.TryReserve(4096));
        return _book.TryAddOwned(id, Reserve(), Head, _process);
    }

    private Reservation Reserve() => _store.Reserve(new MeshKey("k"), 1, 4096).Value;
}
