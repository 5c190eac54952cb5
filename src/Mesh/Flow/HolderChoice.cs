// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.IO.Hashing;
using System.Text;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// In which order a put tries the nodes with memory. Remembers for a second who had no room, so that a full mesh is not
/// asked in vain before every eviction. Thread-safe.
/// </summary>
internal sealed class HolderChoice(FlowContext context, string bootId)
{
    private static readonly TimeSpan FullFor = TimeSpan.FromSeconds(1);
    private readonly Dictionary<string, long> _full = [];

    /// <summary>The nodes to try, best first; nodes that leave, hold no memory or are down are left out.</summary>
    public List<NodeRecord> Order(in MeshKey key, PutOptions options)
    {
        var holders = new List<(int Near, ulong Weight, ulong Cost, NodeRecord Node)>();
        foreach (var node in context.View.Members)
        {
            long capacity = 0;
            foreach (var segment in node.Segments)
                capacity += segment.Length;
            if (capacity == 0 || node.Ring.Leaving || node.Ring.Starting || context.IsDown(node))
                continue;
            long seed = (long)XxHash3.HashToUInt64(Encoding.UTF8.GetBytes(node.NodeId));
            ulong cost = FixedLog2.NegLog2(XxHash3.HashToUInt64(BitConverter.GetBytes(key.Hash), ~seed));
            holders.Add((Nearness(node, options), (ulong)Math.Max(1, capacity >> 20), cost, node));
        }

        holders.Sort(static (a, b) => a.Near != b.Near
            ? a.Near.CompareTo(b.Near)
            : ((UInt128)b.Weight * a.Cost).CompareTo((UInt128)a.Weight * b.Cost));
        return holders.ConvertAll(static h => h.Node);
    }

    /// <summary>Whether this node said lately that it has no room.</summary>
    public bool IsFull(NodeRecord node)
    {
        lock (_full)
        {
            return _full.TryGetValue(node.NodeId, out long since)
                && context.Runtime.Time.GetElapsedTime(since) < FullFor;
        }
    }

    /// <summary>This node has no room without evicting.</summary>
    public void SetFull(NodeRecord node)
    {
        lock (_full)
            _full[node.NodeId] = context.Runtime.Time.GetTimestamp();
    }

    private int Nearness(NodeRecord node, PutOptions options) => options.Placement switch
    {
        Placement.Preferred => node.NodeId == options.PreferredNode ? 0 : 1,
        Placement.LocalFirst when node.NodeId == context.NodeId => 0,
        Placement.LocalFirst when bootId.Length > 0 && node.BootId == bootId => 1,
        Placement.LocalFirst => 2,
        _ => 0,
    };
}
