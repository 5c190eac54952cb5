// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Verbs.Transfers;

/// <summary>
/// Batches of which something is still to be sent, the first to come first. Guarded by the lock of the peer.
/// </summary>
internal sealed class WaitingBatches
{
    /// <summary>Batches that are looked at for one that can go on, where not every card serves all memory.</summary>
    private const int MostLookedAt = 16;

    private readonly List<RdmaBatch> _batches = [];

    /// <summary>Whether there is none.</summary>
    public bool IsEmpty => _batches.Count == 0;

    /// <summary>Takes in a batch, unless it is in already or has been stopped.</summary>
    public void Add(RdmaBatch batch)
    {
        if (batch.IsQueued || batch.IsStopped)
            return;
        batch.IsQueued = true;
        _batches.Add(batch);
    }

    /// <summary>Sends of each batch in turn what can be sent.</summary>
    /// <param name="peer">Sends.</param>
    /// <param name="uniform">Whether no batch can go on where another cannot.</param>
    public void Send(RdmaPeer peer, bool uniform)
    {
        int next = 0;
        while (next < _batches.Count)
        {
            var batch = _batches[next];
            if (!batch.TryTake(out var slice))
            {
                batch.IsQueued = false;
                _batches.RemoveAt(next);
            }
            else if (!peer.TrySend(batch, slice) && (uniform || ++next == MostLookedAt))
            {
                break;
            }
        }
    }

    /// <summary>Nothing more is sent of any of them.</summary>
    public void Stop(TransferOutcome outcome)
    {
        foreach (var batch in _batches)
        {
            batch.IsQueued = false;
            batch.Stop(outcome);
        }

        _batches.Clear();
    }
}
