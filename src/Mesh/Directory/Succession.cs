// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Rule A6 across a change of the ring: who decides for a slot from now on waits until those who may have decided for
/// it before are known to be in the new view as well. One whom the registry's news reaches late would go on to deny
/// what is decided without him, to all who ask him. He is shown the view, and pulls it: that takes a trip or two. Who
/// cannot be reached is not waited for (rule A7). Lives of a node are different members: one may live, and not know
/// that its name is another's. Whoever is new does not know who was there before; the others tell him that they still
/// wait for one. Thread-safe.
/// </summary>
internal sealed class Succession(MeshCalls calls, Func<NodeRecord, bool> isUnreachable, MeshRuntime runtime)
{
    private readonly ILogger _log = runtime.Log.CreateLogger("mesh.slots");
    private readonly Lock _lock = new();
    private volatile Round? _round;

    /// <summary>Whether one who is no member of the view is waited for.</summary>
    public bool AwaitsFormer => _round is { } round && Array.Exists(round.Awaited, awaited => !awaited.IsMember);

    /// <summary>Whether nobody is waited for who may decide, and deny, for this slot in an older view.</summary>
    public bool MayDecide(int slot) => _round is not { } round || !round.Holds(slot, calls);

    /// <summary>A new view; called before anything is decided in it.</summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        lock (_lock)
        {
            if (!next.Id.IsOfAnotherMesh(previous.Id) && next.HasSharesOf(previous)
                && previous.Members.All(member => IsIn(next, member) || !IsOwner(member)))
                return;
            long now = runtime.Time.GetTimestamp();
            // In views that were skipped, or that not all came to, anybody may have been an owner.
            bool single = _round is null && IsNext(previous, next);
            var awaited = new List<Awaited>();
            foreach (var member in single ? previous.Members : MembersOfBoth(previous, next))
            {
                if ((!single || IsOwner(member)) && !calls.IsSelf(member) && !isUnreachable(member))
                    awaited.Add(new Awaited(member, IsIn(next, member), now));
            }

            foreach (var former in _round?.Awaited ?? [])
            {
                if (!IsIn(previous, former.Member) && !IsIn(next, former.Member))
                    awaited.Add(former);
            }

            var round = new Round(next.Id, single ? previous : null, [.. awaited]);
            _round = awaited.Count > 0 ? round : null;
            foreach (var one in awaited)
                _ = runtime.Start(() => AwaitAsync(round, one, settled: !single && one.IsMember));
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
        next.Members.Concat(previous.Members.Where(member => !IsIn(next, member)));

    private static bool IsOwner(NodeRecord member) => RingPast.WeightOf(member) > 0;

    private static bool IsIn(MeshView view, NodeRecord member) =>
        view.Find(member.NodeId, member.Incarnation) is not null;

    private async Task AwaitAsync(Round round, Awaited awaited, bool settled)
    {
        var member = awaited.Member;
        var said = await ShownView.AskAsync(calls, runtime, member, round.View, awaited.Since, settled,
            joins: awaited.IsMember, () => _round == round);
        if (!Heard(round, awaited) || (said is { } last && ShownView.IsThere(last, round.View, settled)))
            return;
        _log.LogInformation(
            "owner_not_in_view node={Node} view={View} shown={Shown} awaits_former={Awaits} waited_ms={Milliseconds:0}",
            member.NodeId, round.View, said?.View, said?.AwaitsFormer,
            runtime.Time.GetElapsedTime(awaited.Since).TotalMilliseconds);
    }

    /// <summary>Waits for one no longer; whether the round still goes on.</summary>
    private bool Heard(Round round, Awaited awaited)
    {
        lock (_lock)
        {
            if (_round != round)
                return false;
            round.Awaited = Array.FindAll(round.Awaited, known => known != awaited);
            if (round.Awaited.Length == 0)
                _round = null;
            return true;
        }
    }

    /// <summary>One who may decide in an older view.</summary>
    /// <param name="Member">This very life of a node.</param>
    /// <param name="IsMember">Whether it is in the view to come to.</param>
    /// <param name="Since">From when on it is waited for: once, however many views come meanwhile.</param>
    private sealed record Awaited(NodeRecord Member, bool IsMember, long Since);

    /// <summary>A change of the ring that not everybody has come to.</summary>
    /// <param name="view">The view to come to.</param>
    /// <param name="before">The view before it; null: there may be others between.</param>
    /// <param name="awaited">Who is not known to be in it.</param>
    private sealed class Round(ViewId view, MeshView? before, Awaited[] awaited)
    {
        private volatile Awaited[] _awaited = awaited;

        public ViewId View => view;

        public Awaited[] Awaited
        {
            get => _awaited;
            set => _awaited = value;
        }

        /// <summary>Whether one of those may decide for the slot in an older view.</summary>
        public bool Holds(int slot, MeshCalls calls)
        {
            // Whoever was before us in the list decides there; where that was we, nobody else does.
            for (int place = 0; before is not null && place < SlotTable.Places; place++)
            {
                if (before.Owner(slot, place) is not { } owner || calls.IsSelf(owner))
                    return false;
                if (Array.Exists(_awaited, known => IsSame(known.Member, owner)))
                    return true;
            }

            return before is null;
        }

        private static bool IsSame(NodeRecord one, NodeRecord other) =>
            one.NodeId == other.NodeId && one.Incarnation == other.Incarnation;
    }
}
