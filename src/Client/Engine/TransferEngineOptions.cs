// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Names;
using Mooncake.Mesh.Verbs;

namespace Mooncake.Mesh.Client.Engine;

/// <summary>How a transfer engine is reached, finds others, and moves bytes.</summary>
public sealed record TransferEngineOptions
{
    /// <summary>Most data connections to a peer.</summary>
    public const int MostConnections = 8;

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
    /// Whether another port, from 15000 to 17000, will do where the one that is named is in use; else that is an error.
    /// </summary>
    public bool AnyPort { get; init; }

    /// <summary>
    /// Address to bind, where it is not the one that others are told: "0.0.0.0" behind a translated address. Empty:
    /// that one.
    /// </summary>
    public string Listen { get; init; } = "";

    /// <summary>
    /// By what bytes may travel; what a peer cannot do falls back to tcp, where that is among them. Cards may be
    /// missing, unless they are all that is allowed.
    /// </summary>
    public TransferTransports Transports { get; init; } = TransferTransports.All;

    /// <summary>Which RDMA cards are used, and how.</summary>
    public RdmaOptions Rdma { get; init; } = new();

    /// <summary>
    /// Memory of devices, which then may be registered; the caller's to dispose, after the engine. null: every address
    /// is taken for one of host memory.
    /// </summary>
    public IDeviceMemory? Devices { get; init; }

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

    /// <summary>The options, checked: the first error, which names the option.</summary>
    internal TransferResult<EngineSettings> Check()
    {
        if (!IsWithin(TransferTimeout, TimeSpan.FromMilliseconds(10), TimeSpan.FromDays(1)))
            return Wrong($"TransferTimeout is {TransferTimeout}; 10 ms to 1 day are legal");
        if (!IsWithin(ConnectTimeout, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(10)))
            return Wrong($"ConnectTimeout is {ConnectTimeout}; 10 ms to 10 min are legal");
        if (!IsWithin(LeaseTtl, TimeSpan.FromSeconds(2), TimeSpan.FromMinutes(10)))
            return Wrong($"LeaseTtl is {LeaseTtl}; 2 s to 10 min are legal");
        if (Connections is < 1 or > MostConnections)
            return Wrong($"Connections is {Connections}; 1 to {MostConnections} are legal");
        if (Port is < 0 or > ushort.MaxValue)
            return Wrong($"Port is {Port}; 0 to {ushort.MaxValue} are legal");
        if (LocalName.Length > 0 && !EngineRecord.IsName(LocalName))
            return Wrong($"LocalName has control characters, or is longer than {EngineRecord.MostNameLength}");
        var (host, port) = TransferAddresses.Split(LocalName);
        string reached = Host.Length > 0 ? Host : host;
        var address = TransferAddresses.Resolve(reached, Insecure || Secret is not null);
        if (!address.Succeeded)
            return address.Error!;
        var bind = PeerEndpoint.Parse("listen", Listen.Length > 0 ? Listen : address.Value.ToString());
        if (!bind.Succeeded)
            return Wrong($"Listen: {bind.Error!.Message}");
        if (Secret is null && !Insecure && !bind.Value.IsLoopback)
        {
            return Wrong($"the engine would be reached at {bind.Value.Host}, beyond loopback, without a secret; set "
                + "Secret, use 127.0.0.1, or set Insecure on a trusted network");
        }

        int wanted = port > 0 ? port : Port;
        return new EngineSettings(LocalName, bind.Value.Port > 0 ? bind.Value : bind.Value.WithPort(wanted),
            address.Value.ToString(), AnyPort, Transports, Cluster, Secret, LeaseTtl, TransferTimeout, ConnectTimeout,
            Connections);
    }

    /// <summary>The registry that names are announced in; null with P2PHANDSHAKE.</summary>
    internal TransferResult<IMeshRegistry?> Registry(MeshRuntime runtime)
    {
        if (string.Equals(Metadata, TransferMetadata.PeerToPeer, StringComparison.OrdinalIgnoreCase))
            return TransferResults.Of<IMeshRegistry?>(null);
        int scheme = Metadata.IndexOf("://", StringComparison.Ordinal);
        if (scheme >= 0 && !Metadata.StartsWith("etcd://", StringComparison.OrdinalIgnoreCase))
        {
            return new TransferError(TransferErrorCode.NotImplemented,
                $"Metadata is '{Metadata}'; {TransferMetadata.PeerToPeer} and etcd://HOST:PORT,... are offered");
        }

        var registry = EtcdRegistry.Create(EtcdAccess with { Endpoints = Metadata, Cluster = Cluster }, runtime);
        return registry.Succeeded ? TransferResults.Of<IMeshRegistry?>(registry.Value) : Wrong(registry.Error!.Message);
    }

    private static bool IsWithin(TimeSpan value, TimeSpan least, TimeSpan most) => value >= least && value <= most;

    private static TransferError Wrong(string message) => new(TransferErrorCode.InvalidArgument, message);
}
