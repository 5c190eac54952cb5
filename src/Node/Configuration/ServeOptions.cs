// SPDX-License-Identifier: Apache-2.0

using System.Text.Json.Serialization;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>Everything that can be set for a serving node. The file, the environment and the flags bind to it.</summary>
internal sealed record ServeOptions
{
    /// <summary>Name of the mesh.</summary>
    public string Cluster { get; init; } = "default";

    /// <summary>Stable name of this node.</summary>
    public string NodeId { get; init; } = Environment.MachineName;

    /// <summary>Where peers and clients are served.</summary>
    public string Listen { get; init; } = "127.0.0.1:0";

    /// <summary>The address that peers use, when it is not <see cref="Listen"/>.</summary>
    public string? Advertise { get; init; }

    /// <summary>Unix socket for processes of this host; null: chosen in the runtime directory.</summary>
    public string? SocketPath { get; init; }

    /// <summary>Where health, status and metrics are served, on loopback.</summary>
    public string Admin { get; init; } = "127.0.0.1:0";

    /// <summary>The coordination store.</summary>
    public EtcdOptions Etcd { get; init; } = new();

    /// <summary>Memory this node contributes.</summary>
    public IReadOnlyList<SegmentSetting> Segments { get; init; } = [new SegmentSetting { Size = 256L << 20 }];

    /// <summary>Share of the ring.</summary>
    public int Weight { get; init; } = 100;

    /// <summary>Labels such as zone and rack.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Time to live of the registration.</summary>
    public TimeSpan LeaseTtl { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long reads are served after the node has left the ring.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Where sockets and the lease id are kept over a restart.</summary>
    public string? RuntimeDirectory { get; init; }

    /// <summary>Whether anything but loopback may be listened on although nothing authenticates peers.</summary>
    public bool Insecure { get; init; }

    /// <summary>Least severe log level that is written.</summary>
    public string LogLevel { get; init; } = "info";

    /// <summary>Whether to wait while a living node has this id, instead of refusing.</summary>
    public bool WaitForNodeId { get; init; }

    /// <summary>Fullness at which the background pass begins to evict.</summary>
    [JsonPropertyName("eviction_high_watermark_ratio")]
    public double? EvictionHighWatermarkRatio { get; init; }

    /// <summary>Part of the capacity that the background pass then frees.</summary>
    [JsonPropertyName("eviction_ratio")]
    public double? EvictionRatio { get; init; }

    /// <summary>The options of the node itself.</summary>
    internal MeshNodeOptions ToNodeOptions() => new()
    {
        Cluster = Cluster,
        NodeId = NodeId,
        Listen = Listen,
        Advertise = Advertise,
        SocketPath = SocketPath,
        Segments = [.. Segments.Select(segment => segment.ToSegmentOptions())],
        Weight = Weight,
        Labels = Labels,
        LeaseTtl = LeaseTtl,
        Grace = Grace,
        RuntimeDirectory = RuntimeDirectory,
        WaitForNodeId = WaitForNodeId,
        Insecure = Insecure,
    };
}

/// <summary>How etcd is reached.</summary>
internal sealed record EtcdOptions
{
    /// <summary>Endpoints, separated by commas.</summary>
    public string Endpoints { get; init; } = "";

    /// <summary>User name.</summary>
    public string? User { get; init; }

    /// <summary>File that holds the user's password.</summary>
    public string? PasswordFile { get; init; }

    /// <summary>PEM file of the authorities that sign etcd's certificate.</summary>
    public string? Ca { get; init; }

    /// <summary>PEM file of our certificate.</summary>
    public string? Cert { get; init; }

    /// <summary>PEM file of its key.</summary>
    public string? Key { get; init; }
}

/// <summary>One segment.</summary>
internal sealed record SegmentSetting
{
    /// <summary>Length in bytes.</summary>
    [JsonConverter(typeof(SizeConverter))]
    public long Size { get; init; }

    /// <summary>"cpu:N".</summary>
    public string Location { get; init; } = "cpu:0";

    /// <summary>Whether huge pages are tried.</summary>
    public bool HugePages { get; init; } = true;

    /// <summary>Whether the memory is touched in the background at start.</summary>
    public bool PreTouch { get; init; } = true;

    internal SegmentOptions ToSegmentOptions() => new()
    {
        Length = Size,
        Location = Location,
        HugePages = HugePages,
        PreTouch = PreTouch,
    };

    /// <summary>Parses "64MiB", then ",location=cpu:1", ",hugePages=false" or ",preTouch=false" in any order.</summary>
    internal static SegmentSetting Parse(string text)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
        var segment = new SegmentSetting { Size = Quantity.Size(parts[0]) };
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
