// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>What every transport keeps to.</summary>
public abstract class TransportConformance : IAsyncLifetime
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private TransferWorld? _world;
    private ITransport? _transport;

    private TransferWorld World => _world!;

    private ITransport Transport => _transport!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _world = await TransferWorld.StartAsync(change: Options, adapt: Runtime);
        _transport = Make(_world);
    }

    public async ValueTask DisposeAsync()
    {
        await Transport.DisposeAsync();
        await World.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4095)]
    [InlineData(4096)]
    [InlineData(64 << 10)]
    [InlineData((1 << 20) + 3)]
    [InlineData(48 << 20)]
    public async Task Bytes_arrive_and_nothing_else_is_touched(int size)
    {
        Assert.SkipUnless(size <= Transport.MaxBytes, "beyond the transport's largest transfer");
        size = size > Largest ? Largest + 5 : size;
        byte[] value = new byte[size];
        new Random(size).NextBytes(value);
        var held = World.Hold(value);
        using var destination = new GuardedMemory(size);
        var read = new SliceSums(size);
        Assert.Equal(TransferOutcome.Done, await ReadAsync(World.ReadOf(held) with { Sums = read }, destination));
        Assert.True(destination.Bytes.SequenceEqual(value));
        Assert.Equal(SumOf(value), read.Checksum);
        destination.AssertGuards();
        destination.Bytes.Clear();
        Assert.Equal(TransferOutcome.Done, await ReadAsync(World.ReadOf(held), destination));
        Assert.True(destination.Bytes.SequenceEqual(value));

        ulong id = World.Reserve(size);
        var written = new SliceSums(size);
        var write = new ExtentWrite(World.Record, id, written);
        if (!Transport.CanWrite(write))
            return;
        Assert.Equal(TransferOutcome.Done, await Transport.WriteAsync(write, destination.Range, Long, Cancel));
        var (reservation, _, _) = World.Node.Holder.Book.Take(id)!.Value;
        Assert.True(BytesOf(reservation).SequenceEqual(value));
        Assert.Equal(SumOf(value), written.Checksum);
        if (HolderSums)
            Assert.Equal(SumOf(value), reservation.Sums!.Checksum);
        World.Store.Abort(reservation);
    }

    [Fact]
    public async Task A_part_arrives_with_the_sums_of_its_slices()
    {
        const int Slice = (int)ObjectSum.SmallestSlice;
        byte[] value = new byte[(5 * Slice) + 77];
        new Random(5).NextBytes(value);
        var held = World.Hold(value);
        foreach (var (from, length) in
            ((int, int)[])[(0, Slice), (Slice, Slice), (5 * Slice, 77), (4 * Slice, 77 + Slice)])
        {
            if (length > Transport.MaxBytes)
                continue;
            using var destination = new GuardedMemory(length);
            var sums = new SliceSums(value.Length, from, length);
            var read = World.ReadOf(held) with { Skip = from, Length = length, Sums = sums };
            Assert.Equal(TransferOutcome.Done, await ReadAsync(read, destination));
            Assert.True(destination.Bytes.SequenceEqual(value.AsSpan(from, length)));
            for (int i = 0; i < sums.Values.Length; i++)
            {
                int at = from + (i * Slice);
                Assert.Equal(SumOf(value.AsSpan(at, Math.Min(Slice, from + length - at))), sums.Values[i]);
            }
        }

        using var beyond = new GuardedMemory(Slice);
        if (KnowsLengths)
        {
            var read = World.ReadOf(held) with { Skip = (5 * Slice) + 1, Length = 77 };
            Assert.NotEqual(TransferOutcome.Done, await ReadAsync(read, beyond));
            Assert.NotEqual(TransferOutcome.Done, await ReadAsync(read with { Skip = long.MaxValue - 3 }, beyond));
        }

        Assert.NotEqual(TransferOutcome.Done,
            await ReadAsync(World.ReadOf(held) with { Skip = -1, Length = 77 }, beyond));
        beyond.AssertGuards();
    }

    [Fact]
    public async Task A_range_larger_than_the_object_keeps_its_rest()
    {
        var held = World.Hold([1, 2, 3]);
        using var destination = new GuardedMemory(8);
        Assert.Equal(TransferOutcome.Done, await ReadAsync(World.ReadOf(held), destination));
        Assert.Equal([1, 2, 3, 0, 0, 0, 0, 0], destination.Bytes.ToArray());
    }

    [Fact]
    public async Task A_dropped_object_is_stale()
    {
        var held = World.Hold(new byte[5000]);
        using var destination = new GuardedMemory(5000);
        World.Store.Discard(held);
        Assert.Equal(TransferOutcome.Stale, await ReadAsync(World.ReadOf(held), destination));
        World.Hold(new byte[5000]);
        Assert.Equal(TransferOutcome.Stale, await ReadAsync(World.ReadOf(held), destination));
    }

    [Fact]
    public async Task What_is_not_there_is_refused_and_the_holder_lives_on()
    {
        var held = World.Hold(new byte[5000]);
        using var destination = new GuardedMemory(64 << 10);
        var read = World.ReadOf(held);
        ExtentRead[] wrong =
        [
            read with { SegmentId = 1 }, read with { SegmentId = -1 }, read with { SegmentId = int.MaxValue },
            read with { Offset = read.Offset + 1 }, read with { Offset = -4096 }, read with { Offset = long.MaxValue },
            read with { Offset = (128 << 20) - 4096 }, read with { Offset = read.Offset + 4096 },
            read with { Generation = read.Generation + 1 }, read with { Generation = 0 },
            read with { Offset = read.Offset + (1L << 40) },
        ];
        foreach (var request in wrong)
        {
            var outcome = await ReadAsync(request, destination);
            Assert.True(outcome is TransferOutcome.Stale or TransferOutcome.Unreachable, $"{request}: {outcome}");
            Assert.Equal(TransferOutcome.Done, await ReadAsync(read, destination));
        }

        // The holder knows how long its object is; a reader of shared memory knows only where the segment ends.
        if (KnowsLengths)
            Assert.NotEqual(TransferOutcome.Done, await ReadAsync(read with { Length = 5001 }, destination));
        var write = new ExtentWrite(World.Record, 12345);
        if (Transport.CanWrite(write))
        {
            Assert.NotEqual(TransferOutcome.Done,
                await Transport.WriteAsync(write, destination.Range, Long, Cancel));
            ulong id = World.Reserve(destination.Range.Length - 1);
            Assert.NotEqual(TransferOutcome.Done,
                await Transport.WriteAsync(write with { ReservationId = id }, destination.Range, Long, Cancel));
        }

        Assert.Equal(TransferOutcome.Done, await ReadAsync(read, destination));
        destination.AssertGuards();
    }

    [Fact]
    public async Task Many_at_the_same_time()
    {
        long most = Math.Min(Math.Min(Transport.MaxBytes, 2 << 20), Largest / 16);
        var held = new HeldObject[8];
        byte[][] values = new byte[held.Length][];
        for (int i = 0; i < held.Length; i++)
        {
            values[i] = new byte[most * (i + 1) / held.Length];
            new Random(i).NextBytes(values[i]);
            held[i] = World.Hold(values[i]);
        }

        await Task.WhenAll(Enumerable.Range(0, 8).Select(reader => Task.Run(async () =>
        {
            for (int i = 0; i < Rounds / 7; i++)
            {
                int which = (reader + i) % held.Length;
                using var destination = new GuardedMemory(values[which].Length);
                Assert.Equal(TransferOutcome.Done, await ReadAsync(World.ReadOf(held[which]), destination));
                Assert.True(destination.Bytes.SequenceEqual(values[which]));
                destination.AssertGuards();
            }
        })));
    }

    [Theory]
    [InlineData(64 << 10)]
    [InlineData(1 << 20)]
    public async Task An_object_dropped_during_a_read_is_stale_or_whole(int size)
    {
        Assert.SkipUnless(size <= Transport.MaxBytes, "beyond the transport's largest transfer");
        // All but one object's room is taken, so that each drop gives its place to the next one.
        World.Hold(new byte[(128 << 20) - size]);
        (HeldObject Held, ulong Pattern) current = (HoldPattern(size, 1)!, 1);
        var box = new StrongBox(current);
        int done = 0;
        bool end = false;
        var readers = Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
        {
            using var destination = new GuardedMemory(size);
            while (!Volatile.Read(ref end))
            {
                var (held, pattern) = box.Value;
                var outcome = await ReadAsync(World.ReadOf(held), destination);
                if (outcome == TransferOutcome.Done)
                {
                    Assert.Equal(-1, destination.Words.IndexOfAnyExcept(pattern));
                    Interlocked.Increment(ref done);
                }
                else
                {
                    Assert.Equal(TransferOutcome.Stale, outcome);
                }
            }
        })).ToArray();
        ulong last = 1;
        for (int i = 0; i < Rounds; i++)
        {
            // Every other object stays until it was read once, so that both ends occur.
            int seen = Volatile.Read(ref done);
            while (i % 2 == 0 && Volatile.Read(ref done) == seen && !Array.Exists(readers, r => r.IsCompleted))
                await Task.Yield();
            World.Store.Discard(box.Value.Held);
            HeldObject? next;
            while ((next = HoldPattern(size, last + 1)) is null)
                await Task.Yield();
            box.Value = (next, ++last);
            if (Array.Exists(readers, r => r.IsCompleted))
                break;
        }

        Volatile.Write(ref end, true);
        await Task.WhenAll(readers);
        Assert.True(done > 0, "no read met a whole object");
    }

    [Fact]
    public async Task After_a_stop_the_destination_does_not_change()
    {
        int size = (int)Math.Min(Math.Min(Transport.MaxBytes, 24 << 20), Largest);
        byte[] value = new byte[size];
        value.AsSpan().Fill(7);
        var held = World.Hold(value);
        using var destination = new GuardedMemory(size);
        using var other = new GuardedMemory(size);
        int late = 0;
        for (int i = 0; i < 12; i++)
        {
            using var stop = new CancellationTokenSource();
            // A control call that is late puts the node on the negative list for a while.
            bool cancels = i % 2 == 0 || Transport.Name == "control";
            var limit = cancels ? Long : TimeSpan.FromMilliseconds(i);
            var reading = Transport.ReadAsync(World.ReadOf(held), destination.Range, limit, stop.Token);
            Thread.SpinWait(i * 20_000);
            if (cancels)
                await stop.CancelAsync();
            var outcome = await reading;
            destination.Bytes.Fill(0xEE);
            late += outcome == TransferOutcome.Late ? 1 : 0;
            Assert.True(outcome is TransferOutcome.Done or TransferOutcome.Late, outcome.ToString());
            Assert.Equal(TransferOutcome.Done, await ReadAsync(World.ReadOf(held), other));
            Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)0xEE));
        }

        TestContext.Current.SendDiagnosticMessage($"{Transport.Name}: {late} of 12 were late");
        Assert.True(other.Bytes.SequenceEqual(value));
    }

    [Fact]
    public async Task A_transfer_cancelled_before_it_starts_touches_nothing()
    {
        Assert.SkipUnless(Transport.Name is "tcp" or "shm" or "rdma", "ends before it could be cancelled");
        var held = World.Hold(new byte[1 << 20]);
        using var destination = new GuardedMemory(1 << 20);
        destination.Bytes.Fill(0xEE);
        var outcome = await Transport.ReadAsync(World.ReadOf(held), destination.Range, Long,
            new CancellationToken(true));
        Assert.Equal(TransferOutcome.Late, outcome);
        Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)0xEE));
    }

    [Fact]
    public async Task After_dispose_nothing_is_reached()
    {
        var held = World.Hold(new byte[100]);
        using var destination = new GuardedMemory(100);
        Assert.Equal(TransferOutcome.Done, await ReadAsync(World.ReadOf(held), destination));
        await Transport.DisposeAsync();
        if (Transport.Name is "tcp" or "shm" or "rdma")
            Assert.Equal(TransferOutcome.Unreachable, await ReadAsync(World.ReadOf(held), destination));
    }

    [Fact]
    public async Task A_holder_that_ends_while_it_is_read_is_unreachable_in_the_end()
    {
        Assert.SkipWhen(Transport.Name == "self", "a node does not outlive itself");
        int size = (int)Math.Min(Math.Min(Transport.MaxBytes, 8 << 20), Largest);
        byte[] value = new byte[size];
        value.AsSpan().Fill(7);
        var read = World.ReadOf(World.Hold(value));
        int done = 0;
        var readers = Enumerable.Range(0, 3).Select(_ => Task.Run(ReadOnAsync)).ToArray();
        while (Volatile.Read(ref done) < 5 && !Array.Exists(readers, r => r.IsCompleted))
            await Task.Yield();
        World.Node.Abort();
        await Task.WhenAll(readers);
        Assert.True(done >= 5);

        async Task ReadOnAsync()
        {
            using var destination = new GuardedMemory(size);
            while (true)
            {
                destination.Bytes.Clear();
                var outcome = await ReadAsync(read, destination);
                destination.AssertGuards();
                if (outcome == TransferOutcome.Unreachable)
                    return;
                Assert.True(outcome is TransferOutcome.Done or TransferOutcome.Stale, outcome.ToString());
                if (outcome != TransferOutcome.Done)
                    continue;
                Assert.Equal(-1, destination.Bytes.IndexOfAnyExcept((byte)7));
                Interlocked.Increment(ref done);
            }
        }
    }

    /// <summary>What the holder is given beyond the usual.</summary>
    private protected virtual MeshNodeOptions Options(MeshNodeOptions options) => options;

    private protected abstract ITransport Make(TransferWorld world);

    private protected virtual bool KnowsLengths => true;

    /// <summary>Whether the holder's processor sees what is written, and so sums it.</summary>
    private protected virtual bool HolderSums => true;

    /// <summary>Longest transfer to be tried; less where bytes are slow.</summary>
    private protected virtual int Largest => 48 << 20;

    /// <summary>How often what may go wrong is done.</summary>
    private protected virtual int Rounds => 300;

    /// <summary>What the holder runs on.</summary>
    private protected virtual MeshRuntime Runtime(MeshRuntime runtime) => runtime;

    private unsafe HeldObject? HoldPattern(int size, ulong pattern)
    {
        var reserved = World.Store.Reserve(new MeshKey("k"), 1, size);
        if (!reserved.Succeeded)
            return null;
        new Span<ulong>(HostBytes.Of(reserved.Value.BytesOf(0)), size / sizeof(ulong)).Fill(pattern);
        return World.Store.Seal(reserved.Value, 0);
    }

    private Task<TransferOutcome> ReadAsync(ExtentRead read, GuardedMemory destination) =>
        Transport.ReadAsync(read, destination.Range, Long, Cancel);

    private static unsafe ulong SumOf(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* first = bytes)
            return ObjectSum.Of(first, bytes.Length);
    }

    private static unsafe ReadOnlySpan<byte> BytesOf(Reservation reservation) =>
        new(HostBytes.Of(reservation.BytesOf(0)), (int)reservation.Size);

    private sealed class StrongBox((HeldObject Held, ulong Pattern) value)
    {
        private readonly Lock _gate = new();
        private (HeldObject Held, ulong Pattern) _value = value;

        public (HeldObject Held, ulong Pattern) Value
        {
            get
            {
                lock (_gate)
                    return _value;
            }

            set
            {
                lock (_gate)
                    _value = value;
            }
        }
    }
}
