// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Members that were away and are back with their memory (rule A8): while away they may have stored objects that no
/// owner of the present view has heard of. Until such a holder has been asked for what it has, no owner says that a key
/// is absent (rule A11). Thread-safe.
/// </summary>
internal sealed class ReturnedHolders
{
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, (ulong Incarnation, long Session)> _awaited =
        new(StringComparer.Ordinal);
    private volatile bool _any;

    /// <summary>Whether any has still to be asked.</summary>
    public bool Any => _any;

    /// <summary>
    /// A new view: those of its members that the view before did not have in this session come with a past, unless they
    /// are only starting, with empty memory. Those that left are not waited for.
    /// </summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        lock (_lock)
        {
            string[] gone = [.. _awaited.Keys.Where(id => next.Find(id, _awaited[id].Incarnation) is null)];
            foreach (string nodeId in gone)
                _awaited.Remove(nodeId);
            if (previous.Config.MeshId != 0)
            {
                foreach (var member in next.Members)
                {
                    var before = previous.Find(member.NodeId, member.Incarnation);
                    bool returned = before is null
                        ? member.Registrations != 1 && !member.Ring.Starting
                        : before.Session != member.Session;
                    if (returned && member.Segments.Count > 0)
                        _awaited[member.NodeId] = (member.Incarnation, member.Session);
                }
            }

            _any = _awaited.Count > 0;
        }
    }

    /// <summary>Those to ask, as they are in <paramref name="view"/>.</summary>
    public IReadOnlyList<NodeRecord> In(MeshView view)
    {
        lock (_lock)
        {
            return [.. _awaited.Select(a => view.Find(a.Key, a.Value.Incarnation)).OfType<NodeRecord>()
                .Where(n => _awaited[n.NodeId].Session == n.Session)];
        }
    }

    /// <summary>A holder has told us all that it has.</summary>
    public void Told(NodeRecord holder)
    {
        lock (_lock)
        {
            if (_awaited.TryGetValue(holder.NodeId, out var awaited) && awaited == (holder.Incarnation, holder.Session))
                _awaited.Remove(holder.NodeId);
            _any = _awaited.Count > 0;
        }
    }
}
