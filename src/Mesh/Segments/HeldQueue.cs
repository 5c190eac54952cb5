// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics;

namespace Mooncake.Mesh.Segments;

/// <summary>Objects in the order they came, linked through themselves; an object is in one queue at a time.</summary>
internal sealed unsafe class HeldQueue
{
    private HeldCell* _newest;

    /// <summary>The one that has waited longest, or null.</summary>
    public HeldCell* Oldest { get; private set; }

    /// <summary>Adds one at the back.</summary>
    public void Append(HeldCell* held)
    {
        Debug.Assert(!held->Queued, "an object is in the queue once");
        held->Before = _newest;
        held->After = null;
        held->Queued = true;
        if (_newest is null)
            Oldest = held;
        else
            _newest->After = held;
        _newest = held;
    }

    /// <summary>Another one, in no queue yet, takes the place of one; without effect when that is in none.</summary>
    public void Replace(HeldCell* held, HeldCell* by)
    {
        if (!held->Queued)
            return;
        Debug.Assert(!by->Queued, "an object is in the queue once");
        by->Before = held->Before;
        by->After = held->After;
        by->Queued = true;
        if (by->Before is null)
            Oldest = by;
        else
            by->Before->After = by;
        if (by->After is null)
            _newest = by;
        else
            by->After->Before = by;
        held->Before = null;
        held->After = null;
        held->Queued = false;
    }

    /// <summary>Takes one out, wherever it stands; without effect on one that is in no queue.</summary>
    public void Unlink(HeldCell* held)
    {
        if (!held->Queued)
            return;
        if (held->Before is null)
            Oldest = held->After;
        else
            held->Before->After = held->After;
        if (held->After is null)
            _newest = held->Before;
        else
            held->After->Before = held->Before;
        held->Before = null;
        held->After = null;
        held->Queued = false;
    }
}
