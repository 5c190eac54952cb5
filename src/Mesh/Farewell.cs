// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh;

/// <summary>
/// Shows a new view to the members that it is without, as far as they can be reached, before their connections are
/// closed: one that lives, and only lost its lease, must not go on to deny what is decided without it (rule A8).
/// </summary>
internal sealed class Farewell(MeshCalls calls, MeshRuntime runtime, Func<MeshView> view)
{
    /// <summary>Tells those that are gone from one view to the next; ends at once.</summary>
    public void Tell(MeshView previous, MeshView next) => _ = runtime.Start(async () =>
    {
        long now = runtime.Time.GetTimestamp();
        var told = new List<Task<PingAnswer?>>();
        foreach (var member in previous.Members)
        {
            bool gone = next.Find(member.NodeId, member.Incarnation) is null && !calls.IsSelf(member);
            if (gone && !calls.Links.IsDown(member))
                told.Add(ShownView.AskAsync(calls, runtime, member, next.Id, now, settled: false, joins: false,
                    static () => true));
        }

        // In turn: WhenAll of calls would pass through the thread pool.
        foreach (var call in told)
            await call;
        calls.Links.Keep(view());
    });
}
