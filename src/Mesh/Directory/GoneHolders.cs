// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>Which holders are gone for good (rule A10). Thread-safe.</summary>
internal interface IGoneHolders
{
    /// <summary>Notes who left the view, and who is back.</summary>
    void Adopt(MeshView previous, MeshView next);

    /// <summary>Whether the replicas of the holder of this incarnation are to be forgotten.</summary>
    bool IsGone(ulong incarnation, MeshView view);
}

/// <summary>
/// Which holders have been out of the view for so long that their replicas are forgotten (rule A10: death is slow,
/// return is fast). Their records are hidden as soon as they leave; one that returns in time loses nothing. A holder
/// that was never seen in a view is missing from the first question on. Thread-safe.
/// </summary>
internal sealed class GoneHolders(TimeProvider time, TimeSpan patience) : IGoneHolders
{
    /// <summary>Holders that are remembered; of more, the longest missing ones are missed anew.</summary>
    private const int Most = 4096;

    private readonly Lock _lock = new();
    private readonly Dictionary<ulong, long> _missingSince = [];
    private readonly Queue<ulong> _order = new();

    /// <summary>Notes who left the view, and who is back.</summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        lock (_lock)
        {
            foreach (var member in next.Members)
                _missingSince.Remove(member.Incarnation);
            foreach (var member in previous.Members)
            {
                if (!next.IsMember(member.Incarnation))
                    Miss(member.Incarnation);
            }
        }
    }

    /// <summary>Whether the holder of this incarnation has been missing for longer than the patience.</summary>
    public bool IsGone(ulong incarnation, MeshView view)
    {
        lock (_lock)
        {
            if (view.IsMember(incarnation))
                return false;
            if (_missingSince.TryGetValue(incarnation, out long since))
                return time.GetElapsedTime(since) > patience;
            Miss(incarnation);
            return false;
        }
    }

    private void Miss(ulong incarnation)
    {
        if (!_missingSince.TryAdd(incarnation, time.GetTimestamp()))
            return;
        _order.Enqueue(incarnation);
        if (_order.Count > Most)
            _missingSince.Remove(_order.Dequeue());
    }
}
