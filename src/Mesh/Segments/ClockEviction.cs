// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// CLOCK: objects in insertion order, the hand at the oldest; a refused one goes to the back. The reference bits of a
/// textbook CLOCK are the owners' marks, so without refusals this is FIFO. One instance serves one store.
/// </summary>
public sealed class ClockEviction : IEvictionPolicy
{
    private HeldObject? _oldest;
    private HeldObject? _newest;

    /// <inheritdoc/>
    public void Added(HeldObject held) => Append(held);

    /// <inheritdoc/>
    public void Removed(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        if (held.Links.Queued)
            Unlink(held);
    }

    /// <inheritdoc/>
    public HeldObject? Next()
    {
        HeldObject? next = _oldest;
        if (next is not null)
            Unlink(next);
        return next;
    }

    /// <inheritdoc/>
    public void Refused(HeldObject held) => Append(held);

    private void Append(HeldObject held)
    {
        ArgumentNullException.ThrowIfNull(held);
        Debug.Assert(!held.Links.Queued, "an object is in the queue once");
        held.Links = new EvictionLinks { Before = _newest, Queued = true };
        if (_newest is null)
            _oldest = held;
        else
            _newest.Links.After = held;
        _newest = held;
    }

    private void Unlink(HeldObject held)
    {
        (HeldObject? before, HeldObject? after) = (held.Links.Before, held.Links.After);
        if (before is null)
            _oldest = after;
        else
            before.Links.After = after;
        if (after is null)
            _newest = before;
        else
            after.Links.Before = before;
        held.Links = default;
    }
}
