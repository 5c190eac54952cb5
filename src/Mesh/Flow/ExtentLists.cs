// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Flow;

/// <summary>Asks holders for the extents of objects in several, with their sums in one message.</summary>
internal sealed class ExtentLists(MeshCalls calls) : IExtentLists
{
    /// <inheritdoc/>
    public async Task<(TransferOutcome Outcome, Extent[] Extents)> ListAsync(NodeRecord node, Extent first,
        TimeSpan timeout, CancellationToken cancel)
    {
        if (timeout <= TimeSpan.Zero)
            return (TransferOutcome.Late, []);
        var answer = await calls.SumsAsync(node, new SumsRequest(first.SegmentId, first.Offset, first.Generation),
            timeout, cancel);
        if (!answer.Succeeded)
        {
            bool late = answer.Error!.Code is MeshErrorCode.Cancelled or MeshErrorCode.DeadlineExceeded;
            return (late ? TransferOutcome.Late : TransferOutcome.Unreachable, []);
        }

        return answer.Value.Current && answer.Value.Extents.Length > 0
            ? (TransferOutcome.Done, Array.ConvertAll(answer.Value.Extents,
                extent => new Extent(extent.SegmentId, extent.Offset, extent.Length, extent.Generation)))
            : (TransferOutcome.Stale, []);
    }
}
