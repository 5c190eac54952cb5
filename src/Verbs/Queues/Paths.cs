// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Queues;

/// <summary>What the peer says of its queue pair, before the two are connected.</summary>
/// <param name="Number">Its number on the peer's device.</param>
/// <param name="Psn">The packet sequence number it starts to send with: 24 bits.</param>
/// <param name="Gid">The GID of its port.</param>
/// <param name="Lid">The LID of its port; 0 on Ethernet.</param>
internal readonly record struct RemoteQueuePair(uint Number, uint Psn, Gid Gid, ushort Lid);

/// <summary>How packets go to the peer, and what its requests may ask of this side.</summary>
/// <param name="Mtu">The path MTU in bytes: the lesser of the two ports' active ones.</param>
/// <param name="Global">Addressed by GID, as always on Ethernet; else by LID, within an InfiniBand subnet.</param>
/// <param name="GidIndex">The row of this port's own GID table that the packets come from.</param>
/// <param name="HopLimit">Routers on the way, at most; at least 1 when addressed by GID.</param>
/// <param name="TrafficClass">The IP header's DSCP and ECN bits on RoCE v2, the GRH's class on InfiniBand.</param>
/// <param name="ServiceLevel">InfiniBand's service level; on Ethernet the priority.</param>
/// <param name="MaxRdAtomic">READs of the peer answered at once, at most the device's MaxRdAtomic.</param>
/// <param name="MinRnrTimer">How long a peer waits that met no receive, as the verbs code it: 0 to 31.</param>
internal readonly record struct PathSettings(
    int Mtu, bool Global, byte GidIndex, byte HopLimit, byte TrafficClass, byte ServiceLevel, byte MaxRdAtomic,
    byte MinRnrTimer);

/// <summary>How large a queue pair is to be.</summary>
/// <param name="SendDepth">Work requests outstanding at once, the unsignaled ones included.</param>
/// <param name="MaxPieces">Local pieces of one work request.</param>
/// <param name="InlineBytes">Bytes wanted for inline WRITEs: a device may give fewer, or none.</param>
internal readonly record struct QueuePairShape(int SendDepth, int MaxPieces = 1, int InlineBytes = 0);
