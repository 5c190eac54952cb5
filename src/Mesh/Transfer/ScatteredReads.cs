// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer;

/// <summary>Asks a holder where the bytes of an object in several extents are.</summary>
internal interface IExtentLists
{
    /// <summary>All extents of a replica, in order.</summary>
    /// <param name="node">The holder.</param>
    /// <param name="first">The first extent; its word proves that the object is still there.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="cancel">Ends the wait.</param>
    /// <returns>Done with the extents, Stale, Unreachable or Late without.</returns>
    Task<(TransferOutcome Outcome, Extent[] Extents)> ListAsync(NodeRecord node, Extent first, TimeSpan timeout,
        CancellationToken cancel);
}

/// <summary>
/// Reads an object in several extents: each extent that is wanted by a read of its own, which checks the extent's own
/// word after its last byte (rule A1), all at once.
/// </summary>
internal sealed class ScatteredReads(TransferPlan plan, IExtentLists lists, TimeProvider time)
{
    /// <summary>Reads bytes of such an object.</summary>
    public async Task<TransferOutcome> RunAsync(ExtentRead read, int segmentId, NativeRange destination,
        TimeSpan timeout, CancellationToken cancel)
    {
        long start = time.GetTimestamp();
        var first = new Extent(segmentId, read.Offset, 0, read.Generation);
        var patience = read.Patience < timeout ? read.Patience.Value : timeout;
        var (listed, extents) = await lists.ListAsync(read.Node, first, patience, cancel);
        if (listed == TransferOutcome.Late && patience < timeout && !cancel.IsCancellationRequested)
            return TransferOutcome.Unreachable;
        if (listed != TransferOutcome.Done)
            return listed;
        if (!IsSound(extents, read))
            return TransferOutcome.Stale;
        var parts = new List<Task<TransferOutcome>>(extents.Length);
        var sums = new List<SliceSums?>(extents.Length);
        long end = read.Skip + read.Length, at = 0;
        foreach (var extent in extents)
        {
            long from = Math.Max(at, read.Skip), length = Math.Min(at + extent.Length, end) - from;
            if (length > 0)
            {
                var part = read.Sums?.PartOf(from, length);
                sums.Add(part);
                var left = time.LeftOf(timeout, start);
                parts.Add(plan.ReadAsync(
                    new ExtentRead(read.Node, extent.SegmentId, extent.Offset, extent.Generation, length, from - at,
                        part) { Patience = read.Patience },
                    destination.Part(from - read.Skip, length),
                    left, cancel));
            }

            at += extent.Length;
        }

        // None is left behind: each lets go of the memory before it ends (rule A4).
        var outcome = TransferOutcome.Done;
        for (int i = 0; i < parts.Count; i++)
        {
            var ended = await parts[i];
            if (outcome == TransferOutcome.Done)
                outcome = ended;
            if (sums[i] is { } part)
                read.Sums!.Take(part);
        }

        return outcome;
    }

    /// <summary>Whether these can be the extents of an object: they cover the read, cut between slices.</summary>
    private static bool IsSound(Extent[] extents, in ExtentRead read)
    {
        long at = 0;
        foreach (var extent in extents)
        {
            if (extent.Length <= 0 || extent.Length > long.MaxValue - at
                || (read.Sums is { } sums && at % sums.SliceBytes != 0))
                return false;
            at += extent.Length;
        }

        return read.Length <= at && read.Skip <= at - read.Length;
    }
}
