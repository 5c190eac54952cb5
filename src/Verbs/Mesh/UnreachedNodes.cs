// SPDX-License-Identifier: Apache-2.0

using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// Nodes that the cards do not reach at present, so that other transports carry what was meant for them: told once for
/// each, and once more when they are reached again. Thread-safe.
/// </summary>
internal sealed class UnreachedNodes(ILogger log)
{
    private readonly ConcurrentDictionary<string, bool> _nodes = new(StringComparer.Ordinal);
    private long _transfers;
    private int _count;

    /// <summary>Transfers that were left to other transports.</summary>
    public long Transfers => Interlocked.Read(ref _transfers);

    /// <summary>Takes in how a transfer ended, and why where it was not even tried.</summary>
    public void Note(string nodeId, TransferOutcome outcome, string? reason)
    {
        if (outcome == TransferOutcome.Unreachable)
        {
            Interlocked.Increment(ref _transfers);
            if (!_nodes.TryAdd(nodeId, true))
                return;
            Interlocked.Increment(ref _count);
            log.LogWarning("rdma_fallback node={Node} reason={Reason}", nodeId, reason ?? "no card reaches it");
        }
        else if (outcome == TransferOutcome.Done && Volatile.Read(ref _count) > 0 && _nodes.TryRemove(nodeId, out _))
        {
            Interlocked.Decrement(ref _count);
            log.LogInformation("rdma_again node={Node}", nodeId);
        }
    }

    /// <summary>Forgets a node that is gone.</summary>
    public void Forget(string nodeId)
    {
        if (_nodes.TryRemove(nodeId, out _))
            Interlocked.Decrement(ref _count);
    }
}
