// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Exports.Guest;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>Removals of many objects; how many there were.</summary>
internal static class Bulk
{
    /// <summary>Removes what a regular expression matches anywhere.</summary>
    public static long RemoveMatching(Session session, string pattern) => session.Wait(
        cancel => session.Live.Client.TryRemoveMatchingAsync(pattern, null, cancel),
        static removed => removed.Succeeded ? removed.Value : ErrorCodes.Of(removed.Error!));

    /// <summary>Removes everything. The count is of the copies that the nodes had when it began.</summary>
    public static long RemoveAll(Session session) => session.Wait(
        cancel => RemoveAllAsync(session.Live, cancel),
        static removed => removed.Succeeded ? removed.Value : ErrorCodes.Of(removed.Error!));

    private static async Task<MeshResult<long>> RemoveAllAsync(LiveMesh live, CancellationToken cancel)
    {
        long objects = 0;
        foreach ((_, MeshResult<NodeStatus> status) in await live.Client.TryStatusOfAllAsync(cancel))
            objects += status.Succeeded ? status.Value.Memory.Objects : 0;
        var removed = await live.Client.TryRemoveAllAsync(null, cancel);
        return removed.Succeeded ? objects : removed.Error!;
    }
}
