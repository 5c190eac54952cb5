// SPDX-License-Identifier: Apache-2.0

using System.Text.Json.Serialization;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Verbs;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>Everything that can be set for a serving node; file, environment and flags bind to it.</summary>
/// <remarks>
/// Set, not init: generated JSON readers give an init property that the file leaves out the default of its type, and
/// drop the default written here.
/// </remarks>
internal sealed record ServeOptions
{
    /// <summary>Name of the mesh.</summary>
    public string Cluster { get; set; } = "default";

    /// <summary>Stable name of this node.</summary>
    public string NodeId { get; set; } = Environment.MachineName;

    /// <summary>Where peers and clients are served.</summary>
    public string Listen { get; set; } = "127.0.0.1:0";

    /// <summary>The address that peers use, when it is not <see cref="Listen"/>.</summary>
    public string? Advertise { get; set; }

    /// <summary>IP addresses of this host's network cards, for large reads.</summary>
    public IReadOnlyList<string> Rails { get; set; } = [];

    /// <summary>By what large objects travel: auto, tcp, shm or rdma.</summary>
    public string Transport { get; set; } = "auto";

    /// <summary>The RDMA devices, and how they are used.</summary>
    public RdmaSettings Rdma { get; set; } = new();

    /// <summary>Unix socket for processes of this host; null: chosen in the runtime directory.</summary>
    public string? SocketPath { get; set; }

    /// <summary>Where health, status and metrics are served, on loopback.</summary>
    public string Admin { get; set; } = "127.0.0.1:0";

    /// <summary>Where routers are answered as Mooncake's master does; null: nowhere.</summary>
    public string? MasterHttp { get; set; }

    /// <summary>The coordination store.</summary>
    public EtcdOptions Etcd { get; set; } = new();

    /// <summary>Memory this node contributes.</summary>
    public IReadOnlyList<SegmentSetting> Segments { get; set; } = [new SegmentSetting { Size = 256L << 20 }];

    /// <summary>Which processes of this host may write into the memory themselves: off, user or group.</summary>
    public string ClientWrites { get; set; } = "user";

    /// <summary>Most bytes one such process has reserved; null: a quarter of the memory.</summary>
    [JsonConverter(typeof(SizeConverter))]
    public long? ClientReservedBytes { get; set; }

    /// <summary>Devices whose memory is not taken, or given back.</summary>
    public IReadOnlyList<string> GiveBack { get; set; } = [];

    /// <summary>Most bytes one process of this host has in view; null: half of the memory.</summary>
    [JsonConverter(typeof(SizeConverter))]
    public long? ClientViewBytes { get; set; }

    /// <summary>Share of the ring.</summary>
    public int Weight { get; set; } = 100;

    /// <summary>Labels such as zone and rack.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; set; } = new Dictionary<string, string>();

    /// <summary>Time to live of the registration.</summary>
    public TimeSpan LeaseTtl { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long reads are served after the node has left the ring.</summary>
    public TimeSpan Grace { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Where sockets and the lease id are kept over a restart.</summary>
    public string? RuntimeDirectory { get; set; }

    /// <summary>File with the cluster secret; null: systemd's credential, or none.</summary>
    public string? SecretFile { get; set; }

    /// <summary>What that file holds.</summary>
    internal ClusterSecret? Secret { get; set; }

    /// <summary>Wire versions to speak, from a variable of tests of mixed versions; null: all there are.</summary>
    internal (int Least, int Greatest)? WireVersions { get; set; }

    /// <summary>Whether anything but loopback may be listened on although there is no cluster secret.</summary>
    public bool Insecure { get; set; }

    /// <summary>Least severe log level that is written.</summary>
    public string LogLevel { get; set; } = "info";

    /// <summary>Whether to wait while a living node has this id, instead of refusing.</summary>
    public bool WaitForNodeId { get; set; }

    /// <summary>Share of the memory that hard pins may take.</summary>
    public double HardPinRatio { get; set; } = 0.5;

    /// <summary>Share of the memory in use above which objects are evicted in the background.</summary>
    [JsonPropertyName("eviction_high_watermark_ratio")]
    public double? EvictionHighWatermarkRatio { get; set; }

    /// <summary>Least share of the memory that such a round frees.</summary>
    [JsonPropertyName("eviction_ratio")]
    public double? EvictionRatio { get; set; }

    /// <summary>How memory of the host and of GPUs are used.</summary>
    public TierSettings Tiers { get; set; } = new();

    /// <summary>The options of the node itself.</summary>
    internal MeshNodeOptions ToNodeOptions() => new()
    {
        Cluster = Cluster,
        NodeId = NodeId,
        Listen = Listen,
        Advertise = Advertise,
        Rails = Rails,
        Transport = TransportOf(Transport),
        SocketPath = LocalSocket.PathOf(this),
        Segments = [.. Segments.Where(segment => !GiveBack.Contains(segment.Location))
            .Select(segment => segment.ToSegmentOptions())],
        GiveBack = GiveBack,
        ClientWrites = Enum.TryParse(ClientWrites, ignoreCase: true, out ClientWrites writes)
            ? writes
            : (ClientWrites)(-1),
        ClientReservedBytes = ClientReservedBytes,
        ClientViewBytes = ClientViewBytes,
        Registry = Etcd.Endpoints,
        Weight = Weight,
        Labels = Labels,
        LeaseTtl = LeaseTtl,
        RuntimeDirectory = RuntimeDirectory,
        WaitForNodeId = WaitForNodeId,
        Secret = Secret,
        Insecure = Insecure,
        HardPinRatio = HardPinRatio,
        EvictionHighWatermark = EvictionHighWatermarkRatio,
        EvictionRatio = EvictionRatio,
        Tiers = Tiers.ToOptions(),
        WireVersions = WireVersions ?? (Wire.VersionMin, Wire.VersionMax),
    };

    /// <summary>What a word says of the transport; one that says nothing is refused by the node.</summary>
    internal static TransportChoice TransportOf(string word) =>
        Enum.TryParse(word, ignoreCase: true, out TransportChoice choice) && !int.TryParse(word, out _)
            ? choice
            : (TransportChoice)(-1);
}

/// <summary>Which RDMA devices are used, and how.</summary>
internal sealed record RdmaSettings
{
    /// <summary>Names of the devices; none: all there are.</summary>
    public IReadOnlyList<string> Devices { get; set; } = [];

    /// <summary>Names of devices that are left out.</summary>
    public IReadOnlyList<string> Exclude { get; set; } = [];

    /// <summary>Which devices serve which memory, as JSON; null: as the hardware says.</summary>
    [JsonConverter(typeof(JsonTextConverter))]
    public string? Topology { get; set; }

    /// <summary>Row of the GID table; null: chosen by type and address.</summary>
    public int? GidIndex { get; set; }

    /// <summary>The port of each device.</summary>
    public int Port { get; set; } = 1;

    /// <summary>DSCP and ECN bits of the packets.</summary>
    public int TrafficClass { get; set; }

    /// <summary>InfiniBand's service level.</summary>
    public int ServiceLevel { get; set; }

    /// <summary>Whether the devices may write to memory in any order.</summary>
    public bool RelaxedOrdering { get; set; }

    /// <summary>The options of the transport.</summary>
    internal RdmaOptions ToOptions() => new()
    {
        Devices = Devices,
        Excluded = Exclude,
        Topology = Topology,
        GidIndex = GidIndex,
        Port = Port,
        TrafficClass = TrafficClass,
        ServiceLevel = ServiceLevel,
        RelaxedOrdering = RelaxedOrdering,
    };
}

/// <summary>How memory of the host and of GPUs are used, where there are segments in both.</summary>
internal sealed record TierSettings
{
    /// <summary>Where new objects go first: dram, vram or any.</summary>
    public string Place { get; set; } = "dram";

    /// <summary>Reads into a GPU's memory that move an object there; 0: none is moved there.</summary>
    public int PromoteAfter { get; set; } = 2;

    /// <summary>Within what time.</summary>
    public TimeSpan PromoteWithin { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Whether a full GPU moves to the host's memory what was not read lately.</summary>
    public bool Demote { get; set; } = true;

    /// <summary>The options of the node; a place that says nothing is refused by it.</summary>
    internal TierOptions ToOptions() => new()
    {
        Place = Enum.TryParse(Place, ignoreCase: true, out TierPlace place) && !int.TryParse(Place, out _)
            ? place
            : (TierPlace)(-1),
        PromoteAfter = PromoteAfter,
        PromoteWithin = PromoteWithin,
        Demote = Demote,
    };
}

/// <summary>How etcd is reached.</summary>
internal sealed record EtcdOptions
{
    /// <summary>Endpoints, separated by commas.</summary>
    public string Endpoints { get; set; } = "";

    /// <summary>User name.</summary>
    public string? User { get; set; }

    /// <summary>File that holds the user's password.</summary>
    public string? PasswordFile { get; set; }

    /// <summary>PEM file of the authorities that sign etcd's certificate.</summary>
    public string? Ca { get; set; }

    /// <summary>PEM file of our certificate.</summary>
    public string? Cert { get; set; }

    /// <summary>PEM file of its key.</summary>
    public string? Key { get; set; }
}

/// <summary>One segment.</summary>
internal sealed record SegmentSetting
{
    /// <summary>Length in bytes, or what is free less a reserve.</summary>
    [JsonConverter(typeof(SegmentSizeConverter))]
    public SegmentSize Size { get; set; }

    /// <summary>"cpu:N" or "cuda:N".</summary>
    public string Location { get; set; } = "cpu:0";

    /// <summary>Whether huge pages are tried.</summary>
    public bool HugePages { get; set; } = true;

    /// <summary>Whether the memory is touched in the background at start.</summary>
    public bool PreTouch { get; set; } = true;

    internal SegmentOptions ToSegmentOptions() => new()
    {
        Length = Size.Bytes,
        FreeLess = Size.FreeLess,
        Location = Location,
        HugePages = HugePages,
        PreTouch = PreTouch,
    };

    /// <summary>
    /// Parses "64MiB" or "free-2GiB", then ",location=cpu:1", ",hugePages=false" or ",preTouch=false" in any order.
    /// </summary>
    internal static SegmentSetting Parse(string text)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
        var segment = new SegmentSetting { Size = SegmentSize.Parse(parts[0]) };
        foreach (string part in parts[1..])
        {
            segment = part.Split('=', 2) switch
            {
                ["location", var value] => segment with { Location = value },
                ["hugePages", var value] when bool.TryParse(value, out bool on) => segment with { HugePages = on },
                ["preTouch", var value] when bool.TryParse(value, out bool on) => segment with { PreTouch = on },
                _ => throw new FormatException(
                    $"'{part}' is no part of a segment; write 64MiB,location=cpu:0,hugePages=true,preTouch=true"),
            };
        }

        return segment;
    }
}

/// <summary>Reads the file's JSON.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    ReadCommentHandling = System.Text.Json.JsonCommentHandling.Skip,
    AllowTrailingCommas = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true,
    Converters = [typeof(DurationConverter)])]
[JsonSerializable(typeof(ServeOptions))]
internal sealed partial class ServeOptionsJson : JsonSerializerContext;
