// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Free memory of the other nodes, as their last pings told. While one has room a put goes there, and nothing need be
/// evicted in the background here. Thread-safe.
/// </summary>
internal sealed class PeerRoom(FlowContext context)
{
    /// <summary>A node counts as full from here on: twice what its own background keeps free.</summary>
    private const int FullShare = 50;

    private readonly Dictionary<string, long> _free = [];

    /// <summary>A node has told how much is free.</summary>
    public void Note(string nodeId, long freeBytes)
    {
        lock (_free)
            _free[nodeId] = freeBytes;
    }

    /// <summary>Whether a node that takes puts has room.</summary>
    public bool Any()
    {
        foreach (var node in context.View.Members)
        {
            if (!context.Calls.IsSelf(node) && node.Ring is { Leaving: false, Starting: false }
                && !context.IsDown(node) && HasRoom(node))
                return true;
        }

        return false;
    }

    private bool HasRoom(NodeRecord node)
    {
        long capacity = 0;
        foreach (var segment in node.Segments)
            capacity += segment.Length;
        lock (_free)
            return _free.TryGetValue(node.NodeId, out long free) && free > capacity / FullShare;
    }
}
