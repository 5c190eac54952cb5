// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Engine;

/// <summary>How a transfer engine is reached, finds others, and moves bytes.</summary>
public sealed record TransferEngineOptions
{
    /// <summary>
    /// How engines find each other: "P2PHANDSHAKE", by host:port alone; or "etcd://a,b", by names that are announced
    /// there under a lease.
    /// </summary>
    public string Metadata { get; init; } = TransferMetadata.PeerToPeer;

    /// <summary>
    /// "host", "host:port", "v6", "[v6]:port": where others reach this engine and, with etcd, the name it is announced
    /// by, as it is written here. Empty: an address of this host. Without a port, one from 15000 to 17000 is taken.
    /// </summary>
    public string LocalName { get; init; } = "";

    /// <summary>
    /// The address of this host that others connect to where <see cref="LocalName"/> is a mere name; empty: the host
    /// part of it.
    /// </summary>
    public string Host { get; init; } = "";

    /// <summary>
    /// Port to listen on, where <see cref="LocalName"/> has none; 0: one from 15000 to 17000.
    /// </summary>
    public int Port { get; init; }

    /// <summary>
    /// Address to bind, where it is not the one that others are told: "0.0.0.0" behind a translated address. Empty:
    /// that one.
    /// </summary>
    public string Listen { get; init; } = "";

    /// <summary>By what bytes may travel; what a peer cannot do falls back to tcp, where that is among them.</summary>
    public TransferTransports Transports { get; init; } = TransferTransports.All;

    /// <summary>Name of the mesh whose etcd prefix, and whose secret, the engines share.</summary>
    public string Cluster { get; init; } = "default";

    /// <summary>User, password and certificates for etcd; its endpoints and cluster are those above.</summary>
    public EtcdRegistryOptions EtcdAccess { get; init; } = new();

    /// <summary>The secret that peers must prove (<see cref="ClusterSecret.FromFile"/>); null: there is none.</summary>
    public ClusterSecret? Secret { get; init; }

    /// <summary>
    /// Whether to be reached from other hosts without a secret: whoever reaches the port can then read and write all
    /// memory that is registered for others.
    /// </summary>
    public bool Insecure { get; init; }

    /// <summary>Time to live of what is announced in etcd, from 2 s to 10 min.</summary>
    public TimeSpan LeaseTtl { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a transfer may take, from being submitted; from 10 ms to 1 day.</summary>
    public TimeSpan TransferTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a peer may take to be connected to and to answer; from 10 ms to 10 min.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Data connections to a peer, 1 to 8.</summary>
    public int Connections { get; init; } = 2;

    /// <summary>Where log lines go.</summary>
    public ILoggerFactory Log { get; init; } = NullLoggerFactory.Instance;
}
