// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mooncake.Mesh.Membership;

/// <summary>What a node says of itself in the registry, below 64 KiB; holds no secret.</summary>
public sealed record NodeRecord
{
    /// <summary>Largest record, in bytes of JSON.</summary>
    public const int MaxBytes = 64 * 1024;

    /// <summary>Stable name of the node within its mesh: 1 to 128 of [A-Za-z0-9._-].</summary>
    public required string NodeId { get; init; }

    /// <summary>New whenever the node's memory is.</summary>
    public required ulong Incarnation { get; init; }

    /// <summary>The id of the lease this record lives on.</summary>
    public long Session { get; init; }

    /// <summary>
    /// The how-manieth registration of this incarnation it is: from the second on it may come with what it stored while
    /// it was away. 0: it does not say.
    /// </summary>
    public long Registrations { get; init; }

    /// <summary>Software version, for people.</summary>
    public string Version { get; init; } = "";

    /// <summary>Lowest wire version spoken.</summary>
    public int WireMin { get; init; } = 1;

    /// <summary>Highest wire version spoken.</summary>
    public int WireMax { get; init; } = 1;

    /// <summary>host:port of the one tcp port for control and data, most preferred first.</summary>
    public IReadOnlyList<string> Endpoints { get; init; } = [];

    /// <summary>
    /// IP:port of each network card that data connections may come by, in the order of the cards, at most 8; none: they
    /// come by the endpoints alone.
    /// </summary>
    public IReadOnlyList<string> Rails { get; init; } = [];

    /// <summary>The kernel's boot id: equal on processes of one host.</summary>
    public string BootId { get; init; } = "";

    /// <summary>Path of the Unix socket for same-host peers, or empty.</summary>
    public string SocketPath { get; init; } = "";

    /// <summary>Labels such as zone and rack.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Share of the ring.</summary>
    public RingShare Ring { get; init; } = new();

    /// <summary>Contributed memory.</summary>
    public IReadOnlyList<SegmentRecord> Segments { get; init; } = [];

    /// <summary>The device that has the bytes of a segment: "cuda:N"; null: they are in the host's memory.</summary>
    public string? DeviceOf(int segmentId)
    {
        foreach (var segment in Segments)
        {
            if (segment.Id == segmentId)
                return segment.Location.StartsWith("cuda:", StringComparison.Ordinal) ? segment.Location : null;
        }

        return null;
    }

    /// <summary>The record as JSON.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, RegistryJson.Default.NodeRecord);

    /// <summary>Parses JSON; null when it is no node record.</summary>
    public static NodeRecord? FromJson(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, RegistryJson.Default.NodeRecord)?.Whole();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static SegmentRecord[] RealOnes(IReadOnlyList<SegmentRecord>? segments) =>
        [.. (segments ?? []).Where(s => s is { Length: > 0, Id: >= 0 })
            .Select(s => s.Location is null || s.Transports is null
                ? s with { Location = s.Location ?? "cpu:0", Transports = s.Transports ?? [] }
                : s)];

    /// <summary>
    /// Fills in what another version left out (a generated reader sets absent properties to null or 0, whatever their
    /// initialisers say) and bounds what takes part in the ring; null when there is no name.
    /// </summary>
    private NodeRecord? Whole() => string.IsNullOrEmpty(NodeId) ? null : this with
    {
        Version = Version ?? "",
        WireMin = Math.Max(1, WireMin),
        WireMax = Math.Max(1, WireMax),
        Endpoints = Endpoints ?? [],
        Rails = Rails ?? [],
        BootId = BootId ?? "",
        SocketPath = SocketPath ?? "",
        Labels = Labels ?? new Dictionary<string, string>(),
        Ring = Ring is null ? new RingShare() : Ring with { Weight = Math.Clamp(Ring.Weight, 0, 1 << 20) },
        Segments = RealOnes(Segments),
    };
}

/// <summary>A node's share of the ring.</summary>
public sealed record RingShare
{
    /// <summary>Relative weight, 0 to 1,048,576; 0 owns nothing.</summary>
    public int Weight { get; init; } = 100;

    /// <summary>Whether the node is leaving: it owns nothing and takes no new puts.</summary>
    public bool Leaving { get; init; }

    /// <summary>
    /// Whether the node is registered but does not serve yet: it owns nothing and holds nothing until it says
    /// otherwise. Slots given to a process that still starts would stand still until it has.
    /// </summary>
    public bool Starting { get; init; }
}

/// <summary>One contributed segment.</summary>
public sealed record SegmentRecord
{
    /// <summary>Number of the segment within its node, from 0.</summary>
    public int Id { get; init; }

    /// <summary>"cpu:NUMA" or "cuda:N".</summary>
    public string Location { get; init; } = "cpu:0";

    /// <summary>Length in bytes.</summary>
    public long Length { get; init; }

    /// <summary>Transports that reach it: "tcp", "shm", "verbs", "cuda-ipc".</summary>
    public IReadOnlyList<string> Transports { get; init; } = [];
}

/// <summary>What the first node fixes for a mesh.</summary>
public sealed record MeshConfig
{
    /// <summary>Default number of slots.</summary>
    public const int DefaultSlots = 65_536;

    /// <summary>Random id of the mesh.</summary>
    public required ulong MeshId { get; init; }

    /// <summary>Raised whenever the registry lost its past.</summary>
    public long Epoch { get; init; } = 1;

    /// <summary>Number of slots, a power of two from 64 to 2^20.</summary>
    public int Slots { get; init; } = DefaultSlots;

    /// <summary>1: XxHash3-64, seed 0.</summary>
    public int HashVersion { get; init; } = 1;

    /// <summary>Wire version the mesh was made with.</summary>
    public int WireVersion { get; init; } = 1;

    /// <summary>
    /// Meshes whose config this one replaced, newest first, at most 16. A node of one of them joins this mesh instead
    /// of writing its own config back: two running meshes can meet under one prefix without a fight.
    /// </summary>
    public IReadOnlyList<ulong> Replaces { get; init; } = [];

    /// <summary>The config as JSON.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, RegistryJson.Default.MeshConfig);

    /// <summary>Whether this build can follow it.</summary>
    [JsonIgnore]
    public bool IsUsable =>
        MeshId != 0 && Epoch > 0 && Slots is >= 64 and <= 1 << 20 && int.IsPow2(Slots) && HashVersion == 1;

    /// <summary>Parses JSON; null when it is no config.</summary>
    public static MeshConfig? FromJson(ReadOnlySpan<byte> json)
    {
        try
        {
            var config = JsonSerializer.Deserialize(json, RegistryJson.Default.MeshConfig);
            return config is null ? null : config with { Replaces = config.Replaces ?? [] };
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(NodeRecord))]
[JsonSerializable(typeof(MeshConfig))]
internal sealed partial class RegistryJson : JsonSerializerContext;
