// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Between a caller and the node embedded in its own process: one copy, under a pin; a large one is shared by two
/// threads, one of which an end is a device's is made by the threads that wait for it.
/// </summary>
internal sealed class SelfTransport(Func<NodeRecord, bool> isSelf, ObjectStore store, ReservationBook book,
    TimeProvider time, DeviceQueues? devices = null, TierMover? tiers = null)
    : ITransport
{
    public string Name => "self";

    public long MaxBytes => long.MaxValue;

    public bool TakesDevice(in NativeRange memory) => true;

    public bool CanRead(NodeRecord node) => isSelf(node);

    public bool CanWrite(in ExtentWrite write) => isSelf(write.Node);

    public Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel) =>
        Read(read, destination, timeout, cancel);

    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (book.BeginWrite(write.ReservationId) is not { } reservation)
            return Outcomes.Stale;
        if (devices is not null && source.Length == reservation.Size
            && (source.Device is not null || ReservedExtents.AnyOnDevice(reservation)))
            return WriteDeviceAsync(write, reservation, source, timeout, cancel);
        return Task.FromResult(Write(write, reservation, source, new CallStop(time, timeout, cancel)));
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private unsafe Task<TransferOutcome> Read(in ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (!store.TryPin(read.SegmentId, read.Offset, read.Generation, out var pin))
            return Outcomes.Stale;
        bool given = false;
        try
        {
            if (read.Skip < 0 || read.Length < 0 || read.Length > pin.Length
                || read.Skip > pin.Length - read.Length || read.Length > destination.Length)
                return Outcomes.Stale;
            var bytes = pin.Bytes.Part(read.Skip, read.Length);
            if (destination.Device is null && bytes.TryHost(out byte* from))
            {
                return Outcomes.Of(Copy((nint)from, destination.Address, read.Length, read.Sums,
                    new CallStop(time, timeout, cancel)));
            }

            if (destination.Device is { } reader)
                tiers?.Read(pin, reader.Location);
            given = true;
            return devices!.RunAsync(new DeviceMove(DeviceMoves.RangeOf(bytes), destination.Part(0, read.Length),
                read.Sums) { Held = new HeldPin(pin) }, timeout, cancel);
        }
        finally
        {
            if (!given)
                pin.Dispose();
        }
    }

    /// <summary>Writes where an end is a device's; the sums are made on the way, or by reading the source once more.
    /// </summary>
    private async Task<TransferOutcome> WriteDeviceAsync(ExtentWrite write, Reservation reservation, NativeRange source,
        TimeSpan timeout, CancellationToken cancel)
    {
        long start = time.GetTimestamp();
        var sums = write.Sums ?? new SliceSums(reservation.Size);
        var outcome = await ReservedExtents.EachAsync(reservation, sums, devices!, (extent, from, part) =>
            new DeviceMove(source.Part(from, extent.Length), extent, part, SumAcross: true),
            () => time.LeftOf(timeout, start), cancel);
        if (outcome == TransferOutcome.Done)
            reservation.Sums = sums;
        book.EndWrite(write.ReservationId);
        return outcome;
    }

    private TransferOutcome Write(ExtentWrite write, Reservation reservation, NativeRange source, CallStop stop)
    {
        var outcome = source.Length == reservation.Size
            ? ReservedExtents.Each(reservation, write.Sums, (extent, from, sums) =>
                Copy(source.Address + (nint)from, extent.Address, extent.Length, sums, stop))
            : TransferOutcome.Stale;
        if (outcome == TransferOutcome.Done)
            reservation.Sums = write.Sums;
        book.EndWrite(write.ReservationId);
        return outcome;
    }

    /// <summary>No word to verify afterwards: the pin, or the reservation, holds the bytes in place.</summary>
    private static TransferOutcome Copy(nint from, nint to, long length, SliceSums? sums, in CallStop stop)
    {
        var copy = new ShmCopy(from, to, length, sums, 0, 0);
        return length < TeamCopy.Least ? copy.Run() : TeamCopy.Run(copy, stop);
    }

    private sealed class HeldPin(ExtentPin pin) : IHeldForMove
    {
        public void Release() => pin.Dispose();
    }
}
