// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// What can be shown of the views between two that a node adopts one after the other. It may have skipped some, in
/// which others owned its slots, took puts and left again: then it is not complete any more (rule A11). Shown from the
/// past of the ring that a view carries, without asking anybody; what cannot be shown is taken for changed.
/// <para>
/// In rendezvous order a node is only pushed back by others that join or grow. So whoever owns a slot while all who
/// were there at any time between are there at once, at their greatest weight, owned it in every view between.
/// </para>
/// </summary>
internal sealed class RingJump
{
    private readonly MeshView _previous;
    private readonly MeshView _next;
    private readonly string _nodeId;
    private readonly MeshView? _all;
    private readonly bool _steady;

    private RingJump(MeshView previous, MeshView next, string nodeId, MeshView? all, bool steady)
    {
        _previous = previous;
        _next = next;
        _nodeId = nodeId;
        _all = all;
        _steady = steady;
    }

    /// <summary>The jump of <paramref name="nodeId"/> from one view to a later one.</summary>
    public static RingJump Of(MeshView previous, MeshView next, string nodeId)
    {
        bool sameMesh = previous.Config.MeshId == next.Config.MeshId && previous.Config.Epoch == next.Config.Epoch
            && previous.Config.Slots == next.Config.Slots;
        if (!sameMesh || next.Past.After(previous.Past) is not { } changes)
            return Unknown(previous, next, nodeId);
        var greatest = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (var member in previous.Members.Concat(next.Members))
            Raise(greatest, member.NodeId, RingPast.WeightOf(member));
        int least = RingPast.WeightOf(previous.Find(nodeId));
        bool steady = true;
        var changed = new HashSet<string>(StringComparer.Ordinal);
        foreach (var change in changes)
        {
            steady &= changed.Add(change.NodeId);
            if (change.NodeId == nodeId)
                least = Math.Min(least, change.Weight);
            else
                Raise(greatest, change.NodeId, change.Weight);
        }

        int own = RingPast.WeightOf(next.Find(nodeId));
        // Away for a while and back: others decided in between, whoever they were.
        if (least == 0 && own > 0)
            return Unknown(previous, next, nodeId);
        greatest[nodeId] = Math.Min(least, own);
        return new RingJump(previous, next, nodeId, AllAtOnce(greatest, previous, next), steady);
    }

    /// <summary>A jump of which nothing is known: anybody may have decided.</summary>
    public static RingJump Unknown(MeshView previous, MeshView next, string nodeId) =>
        new(previous, next, nodeId, null, false);

    /// <summary>Whether anything can be shown.</summary>
    public bool IsKnown => _all is not null;

    /// <summary>Whether this node, an owner in both views, was one in every view between.</summary>
    public bool OwnedThroughout(int slot) => _all is not null && _all.PlaceOf(slot, _nodeId) is 0 or 1;

    /// <summary>
    /// Whether nobody but this node and the owners in the later view can have decided in between, so that what this
    /// node knows of a slot it has lost is all there is to know.
    /// </summary>
    public bool OthersAreOwners(int slot)
    {
        if (_all is null || !_steady)
            return false;
        int owners = 0;
        for (int place = 0; place < SlotTable.Places && owners < 2; place++)
        {
            if (_all.Owner(slot, place) is not { } node)
                break;
            if (node.NodeId == _nodeId)
                continue;
            owners++;
            if (_next.PlaceOf(slot, node.NodeId) is not (0 or 1))
                return false;
        }

        return true;
    }

    /// <summary>Whether primary and backup are the same two lives in both views, and were all along.</summary>
    public bool SameOwners(int slot)
    {
        for (int place = 0; place <= 1; place++)
        {
            var before = _previous.Owner(slot, place);
            var now = _next.Owner(slot, place);
            if (before?.NodeId != now?.NodeId || before?.Incarnation != now?.Incarnation)
                return false;
        }

        return OthersAreOwners(slot);
    }

    private static void Raise(SortedDictionary<string, int> greatest, string nodeId, int weight) =>
        greatest[nodeId] = Math.Max(greatest.GetValueOrDefault(nodeId), weight);

    /// <summary>
    /// A view of the ring with everybody; nearly always it is one of the two, whose tables are built already.
    /// </summary>
    private static MeshView AllAtOnce(SortedDictionary<string, int> weights, MeshView previous, MeshView next)
    {
        if (IsRingOf(weights, next))
            return next;
        if (IsRingOf(weights, previous))
            return previous;
        return new MeshView(next.Config, 0, weights.Where(w => w.Value > 0).Select(w => new NodeRecord
        {
            NodeId = w.Key,
            Incarnation = 1,
            Ring = new RingShare { Weight = w.Value },
        }));
    }

    private static bool IsRingOf(SortedDictionary<string, int> weights, MeshView view)
    {
        foreach (var (nodeId, weight) in weights)
        {
            if (RingPast.WeightOf(view.Find(nodeId)) != weight)
                return false;
        }

        return true;
    }
}
