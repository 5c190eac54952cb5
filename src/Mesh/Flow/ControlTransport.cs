// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Small reads over the control channel, where opening a data connection would cost more than the bytes. Writes go
/// inside the put request itself.
/// </summary>
internal sealed class ControlTransport(MeshCalls calls, long maxBytes, TimeProvider time) : ITransport
{
    public string Name => "control";

    public long MaxBytes => maxBytes;

    public bool CanRead(NodeRecord node) => true;

    public bool CanWrite(in ExtentWrite write) => false;

    public async Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        long start = time.GetTimestamp();
        var request = new ReadRequest(read.SegmentId, read.Offset, read.Generation, read.Skip,
            (int)read.Length);
        var patience = read.Patience < timeout ? read.Patience.Value : timeout;
        var answer = await calls.ReadAsync(read.Node, request, patience, cancel);
        if (!answer.Succeeded)
        {
            // A node on the negative list fails at once with the deadline of an earlier call: ours has not passed.
            return cancel.IsCancellationRequested || time.GetElapsedTime(start) >= timeout
                ? TransferOutcome.Late
                : TransferOutcome.Unreachable;
        }

        if (!answer.Value.Current)
            return TransferOutcome.Stale;
        if (answer.Value.Bytes.Length != read.Length)
            return TransferOutcome.Unreachable;
        CopyTo(answer.Value.Bytes.Span, destination, read.Sums);
        return TransferOutcome.Done;
    }

    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel) => Task.FromResult(TransferOutcome.Unreachable);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static unsafe void CopyTo(ReadOnlySpan<byte> bytes, NativeRange destination, SliceSums? sums)
    {
        byte* to = (byte*)destination.Address;
        bytes.CopyTo(new Span<byte>(to, bytes.Length));
        sums?.Take(to);
    }
}
