// SPDX-License-Identifier: Apache-2.0

using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// Nodes that the cards do not reach at present, so that other transports carry what was meant for them: told once for
/// each, and once more when they have been reached again for a while, as a way may work in one direction alone.
/// Thread-safe.
/// </summary>
/// <param name="time">Clock.</param>
/// <param name="log">Told.</param>
internal sealed class UnreachedNodes(TimeProvider time, ILogger log)
{
    /// <summary>How long nothing may fail before a node counts as reached again.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromSeconds(3);

    /// <summary>When a transfer last failed, by node.</summary>
    private readonly ConcurrentDictionary<string, long> _nodes = new(StringComparer.Ordinal);
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
            long now = time.GetTimestamp();
            if (!_nodes.TryAdd(nodeId, now))
            {
                _nodes.TryUpdate(nodeId, now, _nodes.GetValueOrDefault(nodeId));
                return;
            }

            Interlocked.Increment(ref _count);
            log.LogWarning("rdma_fallback node={Node} reason={Reason}", nodeId, reason ?? "no card reaches it");
        }
        else if (outcome == TransferOutcome.Done && Volatile.Read(ref _count) > 0
            && _nodes.TryGetValue(nodeId, out long failed) && time.GetElapsedTime(failed) >= Quiet
            && _nodes.TryRemove(KeyValuePair.Create(nodeId, failed)))
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
