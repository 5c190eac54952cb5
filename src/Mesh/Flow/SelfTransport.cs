// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Flow;

/// <summary>Between a caller and the node embedded in its own process: one copy, under a pin.</summary>
internal sealed class SelfTransport(string nodeId, ObjectStore store, ReservationBook book) : ITransport
{
    public string Name => "self";

    public long MaxBytes => long.MaxValue;

    public bool CanRead(NodeRecord node) => node.NodeId == nodeId;

    public bool CanWrite(NodeRecord node) => node.NodeId == nodeId;

    public Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel) => Task.FromResult(Read(read, destination));

    public Task<TransferOutcome> WriteAsync(NodeRecord node, ulong reservationId, NativeRange source, TimeSpan timeout,
        CancellationToken cancel) => Task.FromResult(Write(reservationId, source));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private unsafe TransferOutcome Read(in ExtentRead read, NativeRange destination)
    {
        if (!store.TryPin(read.SegmentId, read.Offset, read.Generation, out var pin))
            return TransferOutcome.Stale;
        using (pin)
        {
            if (read.Length > pin.Length)
                return TransferOutcome.Stale;
            Buffer.MemoryCopy(pin.Pointer, (byte*)destination.Address, destination.Length, read.Length);
            return TransferOutcome.Done;
        }
    }

    private unsafe TransferOutcome Write(ulong reservationId, NativeRange source)
    {
        if (book.BeginWrite(reservationId) is not { } reservation)
            return TransferOutcome.Stale;
        bool fits = source.Length == reservation.Size;
        if (fits)
            Buffer.MemoryCopy((byte*)source.Address, reservation.Pointer, reservation.Size, source.Length);
        book.EndWrite(reservationId);
        return fits ? TransferOutcome.Done : TransferOutcome.Stale;
    }
}
