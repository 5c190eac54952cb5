// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh;

/// <summary>What a node is told when it starts.</summary>
public sealed record MeshNodeOptions
{
    /// <summary>Name of the mesh: 1 to 128 of [A-Za-z0-9._-].</summary>
    public string Cluster { get; init; } = "default";

    /// <summary>Stable name of the node: 1 to 128 of [A-Za-z0-9._-].</summary>
    public required string NodeId { get; init; }

    /// <summary>host:port to listen on; port 0: any free one.</summary>
    public string Listen { get; init; } = "127.0.0.1:0";

    /// <summary>
    /// host[:port] that peers are told; null: the listening address, or for a wildcard a routable one.
    /// </summary>
    public string? Advertise { get; init; }

    /// <summary>
    /// IP addresses of this host, one a network card: large objects are read over all of them, by this node and from
    /// it. The first here reaches the first of a peer, and so on. At most 8; none: the system chooses.
    /// </summary>
    public IReadOnlyList<string> Rails { get; init; } = [];

    /// <summary>By what large objects travel, to this node and from it.</summary>
    public TransportChoice Transport { get; init; }

    /// <summary>Path of a Unix socket for peers on this host; null: none.</summary>
    public string? SocketPath { get; init; }

    /// <summary>Memory to contribute; none: the node owns slots and holds nothing.</summary>
    public IReadOnlyList<SegmentOptions> Segments { get; init; } = [];

    /// <summary>
    /// etcd endpoints that status tells those who join by this node's address; empty: none that others can reach.
    /// </summary>
    public string Registry { get; init; } = "";

    /// <summary>Share of the ring, 0 to 1,048,576.</summary>
    public int Weight { get; init; } = 100;

    /// <summary>Labels such as zone and rack.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Time to live of the registry lease, 1 s to 5 min.</summary>
    public TimeSpan LeaseTtl { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Where the lease id is kept, so that a restart need not wait for it; null: nowhere.</summary>
    public string? RuntimeDirectory { get; init; }

    /// <summary>Whether to wait for a living node of the same id to go, instead of refusing to start.</summary>
    public bool WaitForNodeId { get; init; }

    /// <summary>The mesh's secret, which every peer and client must prove; null: none.</summary>
    public ClusterSecret? Secret { get; init; }

    /// <summary>Whether to listen beyond loopback although there is no cluster secret.</summary>
    public bool Insecure { get; init; }

    /// <summary>Wire versions to speak, least and greatest; other than all of them in tests alone.</summary>
    internal (int Least, int Greatest) WireVersions { get; init; } = (Control.Wire.VersionMin, Control.Wire.VersionMax);

    /// <summary>Share of the memory that hard pins may take, 0 to 1.</summary>
    public double HardPinRatio { get; init; } = 0.5;

    /// <summary>
    /// Share of the memory in use above which objects are evicted in the background, 0 to 1; null: the smaller of 1 %
    /// and 1 GiB is kept free.
    /// </summary>
    public double? EvictionHighWatermark { get; init; }

    /// <summary>
    /// Least share of the memory that such a round frees, 0 to 1; null: what is lacking, with a watermark 5 %.
    /// </summary>
    public double? EvictionRatio { get; init; }

    /// <summary>How memory of the host and of devices are used, where there are segments in both.</summary>
    public TierOptions Tiers { get; init; } = new();

    /// <summary>Slots of a mesh this node makes: a power of two from 64 to 2^20.</summary>
    public int Slots { get; init; } = Membership.MeshConfig.DefaultSlots;

    /// <summary>Which processes of this host may write what they put into the memory themselves.</summary>
    public ClientWrites ClientWrites { get; init; } = ClientWrites.User;

    /// <summary>Most bytes one process may have reserved at a time; null: a quarter of the node's memory.</summary>
    public long? ClientReservedBytes { get; init; }

    /// <summary>
    /// Devices, "cuda:N", whose memory a running node gives back for good: objects in it are dropped, pinned ones too.
    /// </summary>
    public IReadOnlyList<string> GiveBack { get; init; } = [];

    /// <summary>Most bytes one process may have in views at a time; null: half of the node's memory.</summary>
    public long? ClientViewBytes { get; init; }

    /// <summary>What each process of this host may have of the memory.</summary>
    internal ClientLimits ClientLimits
    {
        get
        {
            // Of what a device has nothing can be mapped.
            long memory = Segments.Sum(segment => segment.IsOnDevice ? 0 : segment.Length);
            return new(ClientWrites, ClientReservedBytes ?? memory / 4, ClientViewBytes ?? memory / 2);
        }
    }

    /// <summary>Every fault of these options.</summary>
    public IReadOnlyList<MeshError> Validate()
    {
        var errors = new List<MeshError>();
        CheckName(errors, "cluster", Cluster);
        CheckName(errors, "nodeId", NodeId);
        if (Weight is < 0 or > 1 << 20)
            errors.Add(Fault("weight", $"weight is {Weight}; 0 to {1 << 20} are legal"));
        if (LeaseTtl < TimeSpan.FromSeconds(1) || LeaseTtl > TimeSpan.FromMinutes(5))
            errors.Add(Fault("leaseTtl", $"leaseTtl is {LeaseTtl.TotalSeconds} s; 1 s to 300 s are legal"));
        if (Slots < 64 || Slots > 1 << 20 || !int.IsPow2(Slots))
            errors.Add(Fault("slots", $"slots is {Slots}; a power of two from 64 to {1 << 20} is legal"));
        CheckShare(errors, "hardPinRatio", HardPinRatio, 0);
        CheckShare(errors, "evictionHighWatermark", EvictionHighWatermark ?? 1, double.Epsilon);
        CheckShare(errors, "evictionRatio", EvictionRatio ?? 1, double.Epsilon);
        errors.AddRange(Tiers.Validate());
        if (!Enum.IsDefined(Transport))
            errors.Add(Fault("transport", $"transport is {(int)Transport}; auto, tcp, shm and rdma are legal"));
        if (!Enum.IsDefined(ClientWrites))
            errors.Add(Fault("clientWrites", $"clientWrites is {(int)ClientWrites}; off, user and group are legal"));
        if (ClientReservedBytes < 0)
            errors.Add(Fault("clientReservedBytes", $"clientReservedBytes is {ClientReservedBytes}; the least is 0"));
        if (ClientViewBytes < 0)
            errors.Add(Fault("clientViewBytes", $"clientViewBytes is {ClientViewBytes}; the least is 0"));
        for (int i = 0; i < Segments.Count; i++)
            errors.AddRange(Segments[i].Validate(i));
        errors.AddRange(Addresses.Check(this));
        return errors;
    }

    private static MeshError Fault(string setting, string message) =>
        new(MeshErrorCode.InvalidArgument, "config:" + setting, message);

    private static void CheckShare(List<MeshError> errors, string setting, double share, double least)
    {
        if (!(share >= least && share <= 1))
            errors.Add(Fault(setting, $"{setting} is {share}; {(least > 0 ? "above 0" : "0")} to 1 is legal"));
    }

    private static void CheckName(List<MeshError> errors, string setting, string? name)
    {
        bool legal = name is { Length: > 0 and <= 128 }
            && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');
        if (!legal)
            errors.Add(Fault(setting, $"{setting} is '{name}'; 1 to 128 of [A-Za-z0-9._-] are legal"));
    }
}
