// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The order in which a holder proposes victims. Heat is not its business: the owner of a key refuses what was
/// located since the last proposal. Called under the lock of its store, which it must not call back.
/// </summary>
internal unsafe interface IEvictionPolicy
{
    /// <summary>An object was committed.</summary>
    void Added(HeldCell* held);

    /// <summary>An object left its key, whether it was proposed or not.</summary>
    void Removed(HeldCell* held);

    /// <summary>An object lies elsewhere now, and <paramref name="now"/> stands for it: it keeps its place.</summary>
    void Moved(HeldCell* held, HeldCell* now);

    /// <summary>Takes the next victim out of the order; null when there is none.</summary>
    HeldCell* Next();

    /// <summary>A victim from <see cref="Next"/> stays after all.</summary>
    void Refused(HeldCell* held);
}
