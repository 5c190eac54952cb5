// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Flow;

/// <summary>Which replica to read from: same process, same host, any; those that are down last.</summary>
internal static class Nearness
{
    /// <summary>
    /// How long a holder may keep silent before another one of the object is read from. A lost machine refuses nothing.
    /// </summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(250);

    public static List<(NodeRecord Node, Replica Replica)> Nearest(this TransferPlan plan, Replica[] replicas,
        FlowContext context)
    {
        var near = new List<(NodeRecord Node, Replica Replica)>(replicas.Length);
        foreach (var replica in replicas)
        {
            if (context.View.FindIncarnation(replica.Incarnation) is { } node)
                near.Add((node, replica));
        }

        if (near.Count > 1)
            near.Sort((a, b) => Distance(plan, a.Node, context).CompareTo(Distance(plan, b.Node, context)));
        return near;
    }

    private static int Distance(TransferPlan plan, NodeRecord node, FlowContext context)
    {
        if (context.IsDown(node))
            return int.MaxValue;
        for (int i = 0; i < plan.Transports.Count; i++)
        {
            if (plan.Transports[i].CanRead(node))
                return i;
        }

        return plan.Transports.Count;
    }
}
