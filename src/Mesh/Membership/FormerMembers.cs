// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>
/// The last view of ours that was without a node it had been in before, by incarnation; the last 1,024 such nodes. A
/// node that comes back without having seen such a view is told. Thread-safe.
/// </summary>
internal sealed class FormerMembers
{
    private const int Most = 1024;

    private readonly Lock _lock = new();
    private readonly Dictionary<ulong, ViewId> _without = [];
    private readonly Queue<ulong> _order = new();

    /// <summary>Notes who is no longer in the view.</summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        lock (_lock)
        {
            foreach (var member in previous.Members)
            {
                if (next.IsMember(member.Incarnation))
                    continue;
                if (!_without.ContainsKey(member.Incarnation))
                    _order.Enqueue(member.Incarnation);
                _without[member.Incarnation] = next.Id;
                if (_order.Count > Most)
                    _without.Remove(_order.Dequeue());
            }
        }
    }

    /// <summary>The last view without this incarnation; none: default.</summary>
    public ViewId LastWithout(ulong incarnation)
    {
        lock (_lock)
            return _without.GetValueOrDefault(incarnation);
    }
}
