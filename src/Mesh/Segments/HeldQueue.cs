// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics;

namespace Mooncake.Mesh.Segments;

/// <summary>Objects in the order they came, linked through themselves; an object is in one queue at a time.</summary>
internal sealed class HeldQueue
{
    private HeldObject? _newest;

    /// <summary>The one that has waited longest, or null.</summary>
    public HeldObject? Oldest { get; private set; }

    /// <summary>Adds one at the back.</summary>
    public void Append(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        Debug.Assert(!held.Links.Queued, "an object is in the queue once");
        held.Links = new EvictionLinks { Before = _newest, Queued = true };
        if (_newest is null)
            Oldest = held;
        else
            _newest.Links.After = held;
        _newest = held;
    }

    /// <summary>Takes one out, wherever it stands; without effect on one that is in no queue.</summary>
    public void Unlink(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        if (!held.Links.Queued)
            return;
        (HeldObject? before, HeldObject? after) = (held.Links.Before, held.Links.After);
        if (before is null)
            Oldest = after;
        else
            before.Links.After = after;
        if (after is null)
            _newest = before;
        else
            after.Links.Before = before;
        held.Links = default;
    }
}
