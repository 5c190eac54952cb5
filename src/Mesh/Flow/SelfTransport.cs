// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Between a caller and the node embedded in its own process: one copy, under a pin; a large one is shared by two
/// threads.
/// </summary>
internal sealed class SelfTransport(Func<NodeRecord, bool> isSelf, ObjectStore store, ReservationBook book,
    TimeProvider time)
    : ITransport
{
    public string Name => "self";

    public long MaxBytes => long.MaxValue;

    public bool CanRead(NodeRecord node) => isSelf(node);

    public bool CanWrite(in ExtentWrite write) => isSelf(write.Node);

    public Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel) =>
        Task.FromResult(Read(read, destination, new CallStop(time, timeout, cancel)));

    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel) =>
        Task.FromResult(Write(write, source, new CallStop(time, timeout, cancel)));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private unsafe TransferOutcome Read(in ExtentRead read, NativeRange destination, in CallStop stop)
    {
        if (!store.TryPin(read.SegmentId, read.Offset, read.Generation, out var pin))
            return TransferOutcome.Stale;
        using (pin)
        {
            if (read.Skip < 0 || read.Length < 0 || read.Length > pin.Length
                || read.Skip > pin.Length - read.Length || read.Length > destination.Length)
                return TransferOutcome.Stale;
            return Copy((nint)(pin.Pointer + read.Skip), destination.Address, read.Length, read.Sums, stop);
        }
    }

    private TransferOutcome Write(ExtentWrite write, NativeRange source, CallStop stop)
    {
        if (book.BeginWrite(write.ReservationId) is not { } reservation)
            return TransferOutcome.Stale;
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
}
