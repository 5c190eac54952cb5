// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>From <paramref name="Revision"/> on a node had this weight in the ring; 0: it was not in it.</summary>
internal readonly record struct RingChange(long Revision, string NodeId, int Weight);

/// <summary>
/// How the ring of a view came about: every change of it that the registry made after <see cref="Since"/>. Who moves
/// from one view to a later one learns from it of the views between that it never saw: a node that joined and left
/// leaves no other trace. Immutable.
/// </summary>
internal sealed class RingPast
{
    /// <summary>Changes that are kept.</summary>
    public const int MostChanges = 64;

    public RingPast(long asOf, long since, IReadOnlyList<RingChange> changes)
    {
        AsOf = asOf;
        Changes = changes.Count > MostChanges ? [.. changes.Skip(changes.Count - MostChanges)] : changes;
        Since = changes.Count > MostChanges ? changes[changes.Count - MostChanges - 1].Revision : since;
    }

    /// <summary>Nothing is known of it.</summary>
    public static RingPast Unknown { get; } = new(0, long.MaxValue, []);

    /// <summary>The registry held the view's members at this revision.</summary>
    public long AsOf { get; }

    /// <summary>Changes up to this revision are not known.</summary>
    public long Since { get; }

    /// <summary>The changes since, in order.</summary>
    public IReadOnlyList<RingChange> Changes { get; }

    /// <summary>A node's share of the ring.</summary>
    public static int WeightOf(NodeRecord? node) =>
        node is null || node.Ring.Leaving || node.Ring.Starting ? 0 : Math.Max(0, node.Ring.Weight);

    /// <summary>The changes after <paramref name="earlier"/>; null when some may be missing.</summary>
    public IReadOnlyList<RingChange>? After(RingPast earlier) =>
        Since > earlier.AsOf ? null : [.. Changes.Where(change => change.Revision > earlier.AsOf)];
}
