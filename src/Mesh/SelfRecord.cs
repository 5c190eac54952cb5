// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh;

/// <summary>What a node says of itself in the registry when it starts.</summary>
internal static class SelfRecord
{
    private static readonly string[] Cards = ["verbs"];

    /// <summary>How a node with these options greets a peer.</summary>
    public static Hello Hello(MeshNodeOptions options, ulong incarnation, MeshView view, string bootId,
        Lane lane) => new()
    {
        Lane = lane,
        Cluster = options.Cluster,
        WireMin = options.WireVersions.Least,
        WireMax = options.WireVersions.Greatest,
        NodeId = options.NodeId,
        Incarnation = incarnation,
        Session = view.Find(options.NodeId)?.Session ?? 0,
        View = view.Id,
        BootId = bootId,
    };

    /// <summary>
    /// The record of a node with these options; peers are told <paramref name="endpoint"/>, it listens on
    /// <paramref name="bound"/>, and cards reach the segments that pass <paramref name="cardsReach"/>, by number.
    /// </summary>
    public static NodeRecord Of(MeshNodeOptions options, ulong incarnation, string bootId, string endpoint,
        string bound, Predicate<int> cardsReach) => new()
    {
        NodeId = options.NodeId,
        Incarnation = incarnation,
        Version = HostIdentity.Version,
        WireMin = options.WireVersions.Least,
        WireMax = options.WireVersions.Greatest,
        Endpoints = [endpoint],
        Rails = RailAddresses.Endpoints(options.Rails, bound),
        BootId = bootId,
        SocketPath = options.SocketPath ?? "",
        Labels = options.Labels,
        Ring = new RingShare { Weight = options.Weight, Starting = true },
        Segments = [.. options.Segments.Select((segment, index) => new SegmentRecord
        {
            Id = index,
            Location = segment.Location,
            Length = segment.Length,
            Transports = ["tcp", segment.IsOnDevice ? "cuda-ipc" : "shm", .. cardsReach(index) ? Cards : []],
        })],
    };
}
