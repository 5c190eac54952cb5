// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// A put whose first attempt is sent once more, to whatever holder, after a while in which the object may have been
/// found, replaced or removed: as when its answer was lost on a slow way. Both are one put, of one objectId.
/// </summary>
internal sealed class LateAttempt(RandomSource random)
{
    private const int Size = 256;
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(450);
    private static readonly TimeSpan MostPause = TimeSpan.FromSeconds(3);

    /// <summary>Makes both; tells how long it pauses in between, and how the put ended, with its version.</summary>
    public async Task RunAsync(MeshOperations operations, string name, ulong value, bool replace,
        Action<TimeSpan> pausing, Action<CallOutcome, RecordVersion> end)
    {
        byte[] bytes = new byte[Size];
        Stamped.Fill(bytes, value);
        var head = new PutHead(new MeshKey(name), random.NextUInt64(), Size, 1, true, (int)Limit.TotalMilliseconds,
            replace);
        var request = new PutRequest(head, SumOf(bytes), bytes);
        var first = await SendAsync(operations.Context, request);
        if (first is { Succeeded: true, Value.Fate: not PutFate.Stored } || IsRefused(first))
        {
            end(first.Succeeded ? CallOutcome.Existed : CallOutcome.Refused, default);
            return;
        }

        // As a put of the library does: this client reads nothing older from now on.
        if (first.Succeeded)
            operations.Context.Seen.Note(head.Key.Hash, first.Value.Version);
        var pause = TimeSpan.FromMilliseconds(random.Next((int)MostPause.TotalMilliseconds));
        pausing(pause);
        await operations.Context.Runtime.Delay(pause, CancellationToken.None);
        var second = await SendAsync(operations.Context, request);
        bool stored = first.Succeeded || second is { Succeeded: true, Value.Fate: PutFate.Stored or PutFate.Own };
        end(stored ? CallOutcome.Done : CallOutcome.Unknown, first.Succeeded ? first.Value.Version : default);
    }

    private static bool IsRefused(MeshResult<PutAnswer> answer) =>
        answer.Error is { Code: MeshErrorCode.NoSpace or MeshErrorCode.Busy } or { Stage: "link" };

    private static unsafe ulong SumOf(byte[] bytes)
    {
        fixed (byte* first = bytes)
            return ObjectSum.Of(first, bytes.Length);
    }

    private async Task<MeshResult<PutAnswer>> SendAsync(FlowContext context, PutRequest request)
    {
        NodeRecord[] holders = [.. context.View.Members.Where(m => m.Segments.Count > 0 && !context.IsDown(m))];
        if (holders.Length == 0)
            return new MeshError(MeshErrorCode.Unavailable, "link", "no holder can be reached");
        return await context.Calls.PutAsync(holders[random.Next(holders.Length)], request, Limit,
            CancellationToken.None);
    }
}
