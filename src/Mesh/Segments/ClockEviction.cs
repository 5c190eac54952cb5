// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// CLOCK: objects in insertion order, the hand at the oldest; a refused one goes to the back. The reference bits of a
/// textbook CLOCK are the owners' marks, so without refusals this is FIFO. One instance serves one store.
/// </summary>
internal sealed unsafe class ClockEviction : IEvictionPolicy
{
    private readonly HeldQueue _queue = new();

    /// <inheritdoc/>
    public void Added(HeldCell* held) => _queue.Append(held);

    /// <inheritdoc/>
    public void Removed(HeldCell* held) => _queue.Unlink(held);

    /// <inheritdoc/>
    public void Moved(HeldCell* held, HeldCell* now) => _queue.Replace(held, now);

    /// <inheritdoc/>
    public HeldCell* Next()
    {
        HeldCell* next = _queue.Oldest;
        if (next is not null)
            _queue.Unlink(next);
        return next;
    }

    /// <inheritdoc/>
    public void Refused(HeldCell* held) => _queue.Append(held);
}
