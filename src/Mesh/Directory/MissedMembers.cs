// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Members that did not answer a ping, and none since. Such a one may be cut off from all that come before it in a
/// preference list, and then it acts for the slot (rule A7) and tells none of them: two that both do not hear it cannot
/// vouch for each other. Thread-safe.
/// </summary>
internal sealed class MissedMembers
{
    private readonly Lock _lock = new();
    private readonly HashSet<string> _missed = new(StringComparer.Ordinal);
    private volatile bool _any;

    /// <summary>A member did not answer.</summary>
    public void Note(string nodeId)
    {
        lock (_lock)
        {
            _missed.Add(nodeId);
            _any = true;
        }
    }

    /// <summary>A member answered.</summary>
    public void Answered(string nodeId)
    {
        if (!_any)
            return;
        lock (_lock)
        {
            _missed.Remove(nodeId);
            _any = _missed.Count > 0;
        }
    }

    /// <summary>Forgets those that are members no longer.</summary>
    public void Adopt(MeshView view)
    {
        lock (_lock)
        {
            _missed.RemoveWhere(nodeId => view.Find(nodeId) is null);
            _any = _missed.Count > 0;
        }
    }

    /// <summary>Whether one of them is in the preference list of a slot.</summary>
    public bool MayActFor(MeshView view, int slot)
    {
        if (!_any)
            return false;
        lock (_lock)
        {
            for (int place = 0; place < SlotTable.Places; place++)
            {
                if (view.Owner(slot, place) is { } owner && _missed.Contains(owner.NodeId))
                    return true;
            }
        }

        return false;
    }
}
