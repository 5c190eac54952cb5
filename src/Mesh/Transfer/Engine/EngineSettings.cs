// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>How an engine is made, checked.</summary>
/// <param name="Name">Its name; empty: its address.</param>
/// <param name="Bind">host:port to listen on; port 0: one of a range.</param>
/// <param name="Host">The address that others connect to, without the port.</param>
/// <param name="AnyPort">Whether another port will do where that one is in use.</param>
/// <param name="Transports">What may be used.</param>
/// <param name="Cluster">Name of the mesh.</param>
/// <param name="Secret">Its secret, or null.</param>
/// <param name="LeaseTtl">Time to live of what is announced.</param>
/// <param name="TransferTimeout">How long a transfer may take.</param>
/// <param name="ConnectTimeout">How long a peer may take to be connected to.</param>
/// <param name="Connections">Data connections to a peer.</param>
internal sealed record EngineSettings(string Name, PeerEndpoint Bind, string Host, bool AnyPort,
    TransferTransports Transports, string Cluster, ClusterSecret? Secret, TimeSpan LeaseTtl, TimeSpan TransferTimeout,
    TimeSpan ConnectTimeout, int Connections);
