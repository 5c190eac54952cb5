// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>A remove, at the caller: finds the acting primary, which does it.</summary>
internal static class RemoveOperation
{
    /// <summary>Removes a key; false when it was not there.</summary>
    public static async Task<MeshResult<bool>> RunAsync(FlowContext context, MeshKey key, TimeSpan limit,
        CancellationToken cancel)
    {
        if (key.Validate() is { } invalid)
            return invalid;
        var deadline = new Deadline(context.Runtime.Time, limit);
        var backoff = default(Backoff);
        bool asked = false;
        while (!deadline.Passed && !cancel.IsCancellationRequested)
        {
            int slot = context.SlotOf(key);
            foreach (var owner in context.CandidatesOf(slot))
            {
                var left = deadline.AtMost(deadline.Left / 2);
                var request = new RemoveRequest(key, (int)left.TotalMilliseconds, context.Seen.VersionOf(key.Hash));
                var answer = await context.Calls.RemoveAsync(owner, request, left, cancel);
                if (!answer.Succeeded || answer.Value.Items.Length != 1)
                {
                    asked |= answer.Error?.Code == MeshErrorCode.DeadlineExceeded;
                    continue;
                }

                var code = answer.Value.Items[0].Code;
                // Absent comes with the removal, if there was one: ours, when the answer to an earlier call was lost.
                if (code is OwnerCode.Yes or OwnerCode.Absent && answer.Value.Items[0].Record is { } tombstone)
                    context.Seen.NoteRemoval(key.Hash, tombstone);
                if (code == OwnerCode.Yes)
                    return true;
                // After a call that ended without an answer, absent may well be our own doing.
                if (code == OwnerCode.Absent)
                    return asked;
                context.Views.Suggest(answer.Value.View, owner);
            }

            await backoff.PauseAsync(context, deadline, cancel);
        }

        if (cancel.IsCancellationRequested)
        {
            return new MeshError(MeshErrorCode.Cancelled, "remove",
                asked ? "the caller cancelled; the key may be removed" : "the caller cancelled");
        }

        return asked
            ? new MeshError(MeshErrorCode.Unknown, "remove",
                $"no owner answered within {limit.TotalMilliseconds:0} ms; the key may be removed")
            : new MeshError(MeshErrorCode.Unavailable, "remove",
                $"no owner could decide within {limit.TotalMilliseconds:0} ms");
    }
}
