// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Directory;

/// <summary>Which puts a tombstone stops (rule A9).</summary>
internal interface ITombstoneRule
{
    /// <summary>Whether a put of this objectId may take the key of a removed object.</summary>
    bool MayPass(ulong removed, ulong offered);
}

/// <summary>
/// Rule A9: a new put passes a tombstone unless it carries the removed objectId: that one is a late attempt of the put
/// whose object was removed.
/// </summary>
internal sealed class TombstoneRule : ITombstoneRule
{
    /// <inheritdoc/>
    public bool MayPass(ulong removed, ulong offered) => offered != removed;
}
