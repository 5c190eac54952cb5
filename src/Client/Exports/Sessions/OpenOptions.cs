// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Exports.Guest;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>What a host says when it opens a client; named as the daemon's settings are, where it has them.</summary>
internal sealed record OpenOptions
{
    /// <summary>Name of the mesh.</summary>
    public string Cluster { get; init; } = "default";

    /// <summary>host:port of nodes, any of them.</summary>
    public IReadOnlyList<string> Nodes { get; init; } = [];

    /// <summary>etcd endpoints; empty: nodes are given, and an embedded node asks one of them.</summary>
    public string EtcdEndpoints { get; init; } = "";

    /// <summary>etcd user.</summary>
    public string? EtcdUser { get; init; }

    /// <summary>File with that user's password.</summary>
    public string? EtcdPasswordFile { get; init; }

    /// <summary>PEM file of etcd's authorities.</summary>
    public string? EtcdCa { get; init; }

    /// <summary>PEM file of our certificate.</summary>
    public string? EtcdCert { get; init; }

    /// <summary>PEM file of its key.</summary>
    public string? EtcdKey { get; init; }

    /// <summary>"etcd", or "embedded": a mesh of this process alone.</summary>
    public string Registry { get; init; } = "etcd";

    /// <summary>File with the cluster secret.</summary>
    public string? SecretFile { get; init; }

    /// <summary>Whether an embedded node may listen beyond loopback without a secret.</summary>
    public bool Insecure { get; init; }

    /// <summary>By what large objects travel.</summary>
    public TransportChoice Transport { get; init; }

    /// <summary>RDMA devices to use; none: all.</summary>
    public IReadOnlyList<string> RdmaDevices { get; init; } = [];

    /// <summary>Addresses of this host's network cards.</summary>
    public IReadOnlyList<string> Rails { get; init; } = [];

    /// <summary>Whether what only this host's nodes offer is used.</summary>
    public bool SameHost { get; init; } = true;

    /// <summary>Bytes this process contributes to the mesh; 0: it is a client alone.</summary>
    public long SegmentSize { get; init; }

    /// <summary>Name of the embedded node; null: made from host, process and port.</summary>
    public string? NodeId { get; init; }

    /// <summary>host[:port] of the embedded node, and the client's name.</summary>
    public string Hostname { get; init; } = "localhost";

    /// <summary>Where the embedded node listens; null: at the host name.</summary>
    public string? Listen { get; init; }

    /// <summary>Time to live of the embedded node's registration.</summary>
    public TimeSpan LeaseTtl { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a first node that answers is looked for.</summary>
    public TimeSpan ConnectLimit { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Longest time of calls that move no value.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest time of a get; null: by its size.</summary>
    public TimeSpan? GetLimit { get; init; }

    /// <summary>Longest time of a put; null: by its size.</summary>
    public TimeSpan? PutLimit { get; init; }

    /// <summary>Whether what is got is compared with its checksum.</summary>
    public bool Verify { get; init; } = true;

    /// <summary>How long a call blocks before it is pending; 0: to its end.</summary>
    public int SliceMilliseconds { get; init; }

    /// <summary>Whether values may be put from memory that is not registered (store_c.h).</summary>
    public bool HasLocalBuffer { get; init; } = true;

    /// <summary>What the environment says, which what is said otherwise goes over.</summary>
    public static OpenOptions FromEnvironment(Func<string, string?> variable) => OpenSetting.FromEnvironment
        .Aggregate(new OpenOptions(), (options, setting) => variable(setting.Variable) is { Length: > 0 } value
            ? setting.Applied(options, value)
            : options);

    /// <summary>Why they cannot be, or null.</summary>
    public RefusedException? Fault() => Registry switch
    {
        "embedded" when SegmentSize == 0 => Wrong("registry=embedded needs a segment_size"),
        "embedded" when Nodes.Count > 0 || EtcdEndpoints.Length > 0 =>
            Wrong("registry=embedded is a mesh of this process alone: leave nodes and etcd_endpoints out"),
        "embedded" => null,
        "etcd" when Nodes.Count == 0 && EtcdEndpoints.Length == 0 =>
            Wrong("neither nodes nor etcd_endpoints are given"),
        "etcd" => null,
        _ => Wrong($"registry is '{Registry}'; etcd and embedded are legal"),
    };

    private static RefusedException Wrong(string message) => new(ErrorCodes.InvalidParams, message);
}
