// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;

namespace Mooncake.Mesh;

/// <summary>Gives a running node those of its options that it can take without losing what it holds.</summary>
internal static class NodeChange
{
    /// <summary>
    /// Takes eviction, tiers, the share of hard pins, the limits of this host's processes, the cluster secret and the
    /// devices to give back from <paramref name="options"/>, which are valid; nothing else of them is looked at.
    /// </summary>
    public static void Apply(MeshNode node, MeshNodeOptions options)
    {
        node.Holder.Background.Limits = new EvictionLimits(options.EvictionHighWatermark, options.EvictionRatio);
        node.Holder.Store.HardPinRatio = options.HardPinRatio;
        node.Holder.Tiers.Use(options.Tiers);
        node.Holder.Processes.Limits = options.ClientLimits;
        node.Handshake.Secret = options.Secret;
        node.Holder.Retreat.GiveBack(options.GiveBack);
    }
}
