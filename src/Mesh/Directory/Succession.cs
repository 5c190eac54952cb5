// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Rule A6 across a change of the ring: who decides for a slot from now on waits until those who may have decided for
/// it before are known to be in the new view as well. One whom the registry's news reaches late would go on to deny
/// what is decided without him, to all who ask him. He is shown the view, and pulls it: that takes a trip or two. Who
/// cannot be reached is not waited for (rule A7). Thread-safe.
/// </summary>
internal sealed class Succession(string nodeId, MeshCalls calls, Func<NodeRecord, bool> isUnreachable,
    MeshRuntime runtime)
{
    private readonly ILogger _log = runtime.Log.CreateLogger("mesh.slots");
    private readonly Lock _lock = new();
    private volatile Round? _round;

    /// <summary>Whether nobody is waited for who may decide, and deny, for this slot in an older view.</summary>
    public bool MayDecide(int slot) => _round is not { } round || !round.Holds(slot, nodeId);

    /// <summary>A new view; called before anything is decided in it.</summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        lock (_lock)
        {
            if (next.HasSharesOf(previous))
                return;
            // In views that were skipped, or that not all came to, anybody may have been an owner.
            bool single = _round is null && IsNext(previous, next);
            var awaited = new List<NodeRecord>();
            foreach (var member in single ? previous.Members : MembersOfBoth(previous, next))
            {
                bool mayDecide = !single || RingPast.WeightOf(member) > 0;
                if (mayDecide && member.NodeId != nodeId && !isUnreachable(member))
                    awaited.Add(member);
            }

            var round = new Round(next.Id, single ? previous : null, [.. awaited]);
            _round = awaited.Count > 0 ? round : null;
            foreach (var member in awaited)
                _ = runtime.Start(() => AwaitAsync(round, member));
        }
    }

    /// <summary>No more is asked.</summary>
    public void Stop() => _round = null;

    /// <summary>Whether nothing but the one change that both show lies between two views.</summary>
    private static bool IsNext(MeshView previous, MeshView next) =>
        previous.Config.MeshId == next.Config.MeshId && previous.Config.Epoch == next.Config.Epoch
        && previous.Config.Slots == next.Config.Slots && next.Past.After(previous.Past) is { Count: 1 };

    /// <summary>One who is a member no longer may live, and not have heard of it.</summary>
    private static IEnumerable<NodeRecord> MembersOfBoth(MeshView previous, MeshView next) =>
        next.Members.Concat(previous.Members.Where(member => next.Find(member.NodeId, member.Incarnation) is null));

    private static bool IsSame(NodeRecord one, NodeRecord other) =>
        one.NodeId == other.NodeId && one.Incarnation == other.Incarnation;

    private async Task AwaitAsync(Round round, NodeRecord member)
    {
        long start = runtime.Time.GetTimestamp();
        var shown = await ShownView.AskAsync(calls, runtime, member, round.View, () => _round == round);
        if (!Heard(round, member) || shown?.IsOrFollows(round.View) == true)
            return;
        _log.LogInformation("owner_not_in_view node={Node} view={View} shown={Shown} waited_ms={Milliseconds:0}",
            member.NodeId, round.View, shown, runtime.Time.GetElapsedTime(start).TotalMilliseconds);
    }

    /// <summary>Waits for one no longer; whether the round still goes on.</summary>
    private bool Heard(Round round, NodeRecord member)
    {
        lock (_lock)
        {
            if (_round != round)
                return false;
            round.Awaited = Array.FindAll(round.Awaited, known => !IsSame(known, member));
            if (round.Awaited.Length == 0)
                _round = null;
            return true;
        }
    }

    /// <summary>A change of the ring that not everybody has come to.</summary>
    /// <param name="view">The view to come to.</param>
    /// <param name="before">The view before it; null: there may be others between.</param>
    /// <param name="awaited">Who is not known to be in it.</param>
    private sealed class Round(ViewId view, MeshView? before, NodeRecord[] awaited)
    {
        private volatile NodeRecord[] _awaited = awaited;

        public ViewId View => view;

        public NodeRecord[] Awaited
        {
            get => _awaited;
            set => _awaited = value;
        }

        /// <summary>Whether one of those may decide for the slot in an older view.</summary>
        public bool Holds(int slot, string nodeId)
        {
            // Whoever was before us in the list decides there; where that was we, nobody else does.
            for (int place = 0; before is not null && place < SlotTable.Places; place++)
            {
                if (before.Owner(slot, place) is not { } owner || owner.NodeId == nodeId)
                    return false;
                if (Array.Exists(_awaited, known => IsSame(known, owner)))
                    return true;
            }

            return before is null;
        }
    }
}
