// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Which holders have been out of the view for so long that their replicas are forgotten (rule A10: death is slow,
/// return is fast). Their records are hidden as soon as they leave; one that returns in time loses nothing. Used by one
/// loop.
/// </summary>
internal sealed class GoneHolders(TimeProvider time, TimeSpan patience)
{
    private readonly Dictionary<ulong, long> _missingSince = [];

    /// <summary>Whether the holder of this incarnation has been missing for longer than the patience.</summary>
    public bool IsGone(ulong incarnation, MeshView view)
    {
        if (view.IsMember(incarnation))
        {
            _missingSince.Remove(incarnation);
            return false;
        }

        if (_missingSince.TryGetValue(incarnation, out long since))
            return time.GetElapsedTime(since) > patience;
        _missingSince.Add(incarnation, time.GetTimestamp());
        return false;
    }
}
