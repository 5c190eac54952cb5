// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>Once a call has returned, however it ended, no card touches the caller's memory (rule A4).</summary>
[Collection(RealDevices.Name)]
public sealed class StopDeviceTests : IAsyncLifetime
{
    private const int Bytes = 3 << 20;
    private const int Rounds = 8, MostRounds = 80;
    private const byte Sent = 7, After = 0xEE;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Watch = TimeSpan.FromMilliseconds(100);
    private readonly GuardedMemory _memory = new(Bytes);
    private readonly LogLines _log = new();
    private TransferWorld _world = null!;
    private ITransport _transport = null!;

    public StopDeviceTests() => RealDevices.SkipUnlessOurs();

    public async ValueTask InitializeAsync()
    {
        _memory.Bytes.Clear();
        _world = await RdmaWorld.StartAsync(_log);
        // Few slices at a time: they are handed to the devices one after the other, by those that land.
        _transport = RdmaWorld.Open(_world, new RdmaOptions { QueueDepth = 4 });
    }

    public async ValueTask DisposeAsync()
    {
        await _transport.DisposeAsync();
        await _world.DisposeAsync();
        _memory.AssertGuards();
        _memory.Dispose();
    }

    [Fact]
    public async Task A_read_that_is_late_or_cancelled_lands_nothing_more()
    {
        byte[] value = new byte[Bytes];
        value.AsSpan().Fill(Sent);
        var read = _world.ReadOf(_world.Hold(value));
        await StopAsync((limit, cancel) => _transport.ReadAsync(read, _memory.Range, limit, cancel), () =>
        {
            int landed = _memory.Bytes.Count(Sent);
            _memory.Bytes.Fill(After);
            AssertStays(() => !_memory.Bytes.ContainsAnyExcept(After), "bytes landed after the read had returned");
            _memory.Bytes.Clear();
            return landed;
        });
    }

    [Fact]
    public async Task A_put_that_is_late_or_cancelled_is_read_no_more()
    {
        (ulong Id, Reservation Extent) place = (0, null!);
        await StopAsync((limit, cancel) =>
        {
            place = Reserve();
            _memory.Bytes.Fill(Sent);
            return _transport.WriteAsync(new ExtentWrite(_world.Record, place.Id), _memory.Range, limit, cancel);
        }, () =>
        {
            _memory.Bytes.Fill(After);
            AssertStays(() => !BytesOf(place.Extent).Contains(After), "the source was read after the put had returned");
            int landed = BytesOf(place.Extent).Count(Sent);
            Assert.Equal(Bytes, landed + BytesOf(place.Extent).Count((byte)0));
            _world.Node.Holder.Book.Abandon(place.Id);
            return landed;
        });
        // The memory is registered for each call alone: a holder that goes on after one, over the queue pairs of the
        // next, meets a key that is no more.
        Assert.Equal(0, _log.Count("RemoteAccessError"));
    }

    [Fact]
    public async Task Two_puts_of_the_same_memory_do_not_end_each_other()
    {
        _memory.Bytes.Fill(Sent);
        for (int i = 0; i < 3; i++)
        {
            var (first, one) = Reserve();
            var (second, other) = Reserve();
            var puts = new[] { first, second }.Select(id => _transport.WriteAsync(new ExtentWrite(_world.Record, id),
                _memory.Range, Long, CancellationToken.None));
            Assert.All(await Task.WhenAll(puts), outcome => Assert.Equal(TransferOutcome.Done, outcome));
            Assert.False(BytesOf(one).ContainsAnyExcept(Sent));
            Assert.False(BytesOf(other).ContainsAnyExcept(Sent));
            _world.Node.Holder.Book.Abandon(first);
            _world.Node.Holder.Book.Abandon(second);
        }
    }

    /// <summary>
    /// Stops transfers by deadline and by cancel in turn, ever nearer to their middle, until some were stopped there;
    /// looks after each how much has landed.
    /// </summary>
    private static async Task StopAsync(Func<TimeSpan, CancellationToken, Task<TransferOutcome>> transfer,
        Func<int> look)
    {
        int partly = 0;
        var part = TimeSpan.Zero;
        for (int i = 0; i < Rounds || partly == 0; i++)
        {
            Assert.True(i < MostRounds, $"none was stopped in its middle, the last after {part.TotalMilliseconds} ms");
            // One that runs to its end connects anew what the stop before has broken.
            long start = Stopwatch.GetTimestamp();
            var outcome = await transfer(Long, CancellationToken.None);
            var whole = Stopwatch.GetElapsedTime(start);
            int landed = look();
            Assert.True(outcome == TransferOutcome.Done && landed == Bytes, $"{outcome} with {landed} bytes");
            part = i == 0 ? whole / 2 : part;
            bool byCancel = i % 2 == 0;
            using var stop = new CancellationTokenSource();
            var ended = transfer(byCancel ? Long : part, stop.Token);
            if (byCancel)
                stop.CancelAfter(part);
            outcome = await ended;
            landed = look();
            Assert.True(outcome == TransferOutcome.Late || outcome == TransferOutcome.Done && landed == Bytes,
                $"{outcome} with {landed} bytes");
            partly += outcome == TransferOutcome.Late && landed is > 0 and < Bytes ? 1 : 0;
            part *= landed == 0 ? 1.3 : landed == Bytes ? 0.75 : 1;
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{partly} in part, the last after {part.TotalMilliseconds} ms");
    }

    private static void AssertStays(Func<bool> isSo, string broken)
    {
        long start = Stopwatch.GetTimestamp();
        do
        {
            Assert.True(isSo(), broken);
        }
        while (Stopwatch.GetElapsedTime(start) < Watch);
    }

    /// <summary>Empty memory of the node that may be written.</summary>
    private (ulong Id, Reservation Extent) Reserve()
    {
        var reservation = _world.Store.Reserve(new MeshKey("k"), 1, Bytes).Value;
        BytesOf(reservation).Clear();
        var head = new PutHead(new MeshKey("k"), 1, Bytes, 1, false, 60_000);
        return (_world.Node.Holder.Book.Add(reservation, head, null).Value, reservation);
    }

    private static unsafe Span<byte> BytesOf(Reservation reservation) =>
        reservation.BytesOf(0).TryHost(out byte* bytes) ? new(bytes, (int)reservation.Size) : [];
}
