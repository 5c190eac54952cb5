// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Removes the keys that a regular expression matches, at the caller: holder after holder is asked for its matches,
/// page by page, and each is removed through its owner.
/// </summary>
internal static class RemoveMatching
{
    private const int AtOnce = 32;
    private static readonly TimeSpan PageTimeout = TimeSpan.FromSeconds(2);

    /// <summary>Removes; how many keys there were. A failure says how many went before it.</summary>
    public static async Task<MeshResult<long>> RunAsync(FlowContext context, string pattern, TimeSpan limit,
        CancellationToken cancel)
    {
        var parsed = KeyPattern.Parse(pattern);
        if (!parsed.Succeeded)
            return parsed.Error!;
        var deadline = new Deadline(context.Runtime.Time, limit);
        long removed = 0;
        foreach (var node in context.View.Members)
        {
            ulong from = 0;
            do
            {
                if (cancel.IsCancellationRequested || deadline.Passed)
                    return Stopped(pattern, removed, deadline, cancel);
                var request = new MatchRequest(pattern, from);
                var page = await context.AskAsync(deadline.AtMost(PageTimeout),
                    left => context.Calls.MatchAsync(node, request, left, cancel), cancel);
                // Of a holder that is gone nothing can be read either: its keys are removed as far as anyone can tell.
                if (!page.Succeeded && IsGone(context, node))
                    break;
                if (!page.Succeeded)
                    return Failed(pattern, removed, page.Error!);
                var pageRemoved = await RemoveAsync(context, page.Value.Keys, deadline, cancel);
                if (!pageRemoved.Succeeded)
                    return Failed(pattern, removed, pageRemoved.Error!);
                removed += pageRemoved.Value;
                if (page.Value.NextHash != 0 && page.Value.NextHash <= from)
                    return Failed(pattern, removed, new MeshError(MeshErrorCode.Protocol, "match", "pages go back"));
                from = page.Value.NextHash;
            }
            while (from != 0);
        }

        return removed;
    }

    private static async Task<MeshResult<long>> RemoveAsync(FlowContext context, MeshKey[] keys, Deadline deadline,
        CancellationToken cancel)
    {
        long removed = 0;
        for (int start = 0; start < keys.Length; start += AtOnce)
        {
            var calls = new Task<MeshResult<bool>>[Math.Min(AtOnce, keys.Length - start)];
            for (int i = 0; i < calls.Length; i++)
                calls[i] = RemoveOperation.RunAsync(context, keys[start + i], deadline.AtMost(PageTimeout), cancel);
            MeshError? failure = null;
            foreach (var call in calls)
            {
                var result = await call;
                failure ??= result.Error;
                removed += result is { Succeeded: true, Value: true } ? 1 : 0;
            }

            if (failure is not null)
                return failure;
        }

        return removed;
    }

    private static bool IsGone(FlowContext context, NodeRecord node) =>
        context.IsDown(node) || context.View.Find(node.NodeId, node.Incarnation) is null;

    private static MeshError Failed(string pattern, long removed, MeshError error) =>
        error with { Message = $"{removed} keys that match '{pattern}' are removed, then: {error.Message}" };

    private static MeshError Stopped(string pattern, long removed, Deadline deadline, CancellationToken cancel) =>
        Failed(pattern, removed, cancel.IsCancellationRequested
            ? new MeshError(MeshErrorCode.Cancelled, "remove-matching", "the caller cancelled")
            : deadline.Error("remove-matching"));
}
