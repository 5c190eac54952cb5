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

    public bool CanWrite(in ExtentWrite write) => write.Node.NodeId == nodeId;

    public Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel) => Task.FromResult(Read(read, destination));

    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel) => Task.FromResult(Write(write, source));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private unsafe TransferOutcome Read(in ExtentRead read, NativeRange destination)
    {
        if (!store.TryPin(read.SegmentId, read.Offset, read.Generation, out var pin))
            return TransferOutcome.Stale;
        using (pin)
        {
            if (read.Length > pin.Length || read.Skip > pin.Length - read.Length || read.Length > destination.Length)
                return TransferOutcome.Stale;
            SummedCopy.Run(pin.Pointer + read.Skip, (byte*)destination.Address, read.Length, read.Sums);
            return TransferOutcome.Done;
        }
    }

    private unsafe TransferOutcome Write(in ExtentWrite write, NativeRange source)
    {
        if (book.BeginWrite(write.ReservationId) is not { } reservation)
            return TransferOutcome.Stale;
        bool fits = source.Length == reservation.Size;
        if (fits)
        {
            ReservedBytes.Fill(reservation, (byte*)source.Address, write.Sums);
            reservation.Sums = write.Sums;
        }

        book.EndWrite(write.ReservationId);
        return fits ? TransferOutcome.Done : TransferOutcome.Stale;
    }
}
