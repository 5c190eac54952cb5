// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>Whether others have been in the same ring as this node; of two answers the greater counts.</summary>
internal enum RingSince
{
    /// <summary>All of them have.</summary>
    Same,

    /// <summary>One does not say.</summary>
    Unknown,

    /// <summary>One has been in another.</summary>
    Another,
}

/// <summary>
/// Asks every member whether it has been in another ring since a view of ours. After an outage of the registry all come
/// back under new leases, and nobody can tell from the registry alone that no view was without him. What a node that is
/// no member any more decided meanwhile is not asked for: an object that is still there has a holder, and that one had
/// to be in the view of whoever decided.
/// </summary>
internal sealed class RingWitnesses(SlotStates states, MeshCalls calls, MeshRuntime runtime)
{
    private const int Tries = 10;
    private static readonly TimeSpan CallTimeout = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private readonly ILogger _log = runtime.Log.CreateLogger("mesh.slots");

    /// <summary>
    /// Whether all members of the view say so; unknown when one does not answer, or comes to this view too late.
    /// </summary>
    public async Task<RingSince> RingSinceAsync(ViewId before, CancellationToken cancel)
    {
        var view = states.Current.View;
        var asked = new List<Task<RingSince>>();
        foreach (var member in view.Members)
            asked.Add(AskAsync(member, view.Id, before, cancel));
        var found = RingSince.Same;
        foreach (var call in asked)
        {
            var one = await call;
            found = one > found ? one : found;
        }

        _log.LogInformation("ring_doubted since={Before} view={View} found={Found}", before, view.Id, found);
        return found;
    }

    private async Task<RingSince> AskAsync(NodeRecord member, ViewId view, ViewId before, CancellationToken cancel)
    {
        if (calls.IsSelf(member))
            return RingSince.Same;
        for (int i = 0; i < Tries && !cancel.IsCancellationRequested; i++)
        {
            var answer = await calls.PingAsync(member, new PingRequest(view), CallTimeout, cancel);
            if (answer.Succeeded && (IsAnother(answer.Value.RingSince, before) || answer.Value.View.IsApartFrom(view)))
                return RingSince.Another;
            // One that is behind may come through a view that we have skipped.
            if (answer.Succeeded && !view.IsNewerThan(answer.Value.View) && !view.IsOfAnotherMesh(answer.Value.View))
                return RingSince.Same;
            await runtime.Delay(Pause, cancel);
        }

        return RingSince.Unknown;
    }

    private static bool IsAnother(ViewId ringSince, ViewId before) =>
        ringSince.IsNewerThan(before) || ringSince.IsApartFrom(before) || ringSince.IsOfAnotherMesh(before);
}
