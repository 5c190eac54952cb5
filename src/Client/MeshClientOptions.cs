// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Verbs;

namespace Mooncake.Mesh.Client;

/// <summary>How a client finds its mesh.</summary>
public sealed record MeshClientOptions
{
    /// <summary>Name of the mesh.</summary>
    public string Cluster { get; init; } = "default";

    /// <summary>host:port of any nodes; one that answers is enough.</summary>
    public IReadOnlyList<string> Nodes { get; init; } = [];

    /// <summary>etcd endpoints as people type them, or null when nodes are given.</summary>
    public string? Etcd { get; init; }

    /// <summary>User, password and certificates for etcd; its endpoints and cluster are those above.</summary>
    public EtcdRegistryOptions EtcdAccess { get; init; } = new();

    /// <summary>The mesh's secret (<see cref="ClusterSecret.FromFile"/>); null: it has none.</summary>
    public ClusterSecret? Secret { get; init; }

    /// <summary>
    /// IP addresses of this host, one a network card: objects from 4 MiB on are read over all of them from nodes that
    /// have rails. The first here reaches the first of a node, and so on. At most 8; none: the system chooses.
    /// </summary>
    public IReadOnlyList<string> Rails { get; init; } = [];

    /// <summary>By what large objects travel. Nodes that do not offer it are an error where it is not Auto.</summary>
    public TransportChoice Transport { get; init; }

    /// <summary>The RDMA devices, and how they are used.</summary>
    public RdmaOptions Rdma { get; init; } = new();

    /// <summary>
    /// Memory of devices, which then may be put from and got into, and is read where a node of this host shares it; the
    /// caller's to dispose, after the client. null: every address is taken for one of host memory.
    /// </summary>
    public IDeviceMemory? Devices { get; init; }

    /// <summary>How long to look for a first node that answers.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not more than 0, or more than a day.</exception>
    public TimeSpan ConnectTimeout { get; init => field = CallLimit.Checked(value); } = TimeSpan.FromSeconds(5);

    /// <summary>Longest time of calls that move no value; puts and gets have theirs in their own options.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not more than 0, or more than a day.</exception>
    public TimeSpan Deadline { get; init => field = CallLimit.Checked(value); } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Whether to use what only nodes on this host offer: Unix socket and shared memory. Without it all goes over tcp.
    /// </summary>
    public bool SameHost { get; init; } = true;

    /// <summary>Where log lines go.</summary>
    public ILoggerFactory Log { get; init; } = NullLoggerFactory.Instance;

    /// <summary>The nodes, checked: InvalidArgument for one that is no address, or has no port.</summary>
    internal MeshResult<string[]> Seeds()
    {
        string[] seeds = new string[Nodes.Count];
        for (int i = 0; i < seeds.Length; i++)
        {
            var seed = PeerEndpoint.Parse("node", Nodes[i]);
            if (!seed.Succeeded)
                return seed.Error!;
            if (seed.Value.Port == 0)
            {
                return new MeshError(MeshErrorCode.InvalidArgument, "config:node",
                    $"node '{Nodes[i]}' has no port; write HOST:PORT");
            }

            seeds[i] = seed.Value.ToString();
        }

        return seeds;
    }
}
