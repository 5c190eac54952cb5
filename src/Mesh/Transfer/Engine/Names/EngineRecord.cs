// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mooncake.Mesh.Transfer.Engine.Names;

/// <summary>What an engine says of itself in the registry; holds no secret.</summary>
internal sealed record EngineRecord
{
    /// <summary>Keys of engines begin with this, below the prefix of the mesh.</summary>
    public const string KeyPrefix = "engines/";

    /// <summary>Longest name, in characters.</summary>
    public const int MostNameLength = 512;

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its host:port.</summary>
    public required string Address { get; init; }

    /// <summary>Random for each life of its process.</summary>
    public required ulong Incarnation { get; init; }

    /// <summary>Software version, for people.</summary>
    public string Version { get; init; } = "";

    /// <summary>The record as JSON.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, EngineJson.Default.EngineRecord);

    /// <summary>Parses JSON; null when it is no such record.</summary>
    public static EngineRecord? FromJson(ReadOnlySpan<byte> json)
    {
        try
        {
            var record = JsonSerializer.Deserialize(json, EngineJson.Default.EngineRecord);
            return string.IsNullOrEmpty(record?.Address) || record.Incarnation == 0 ? null : record;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Whether a name can be announced.</summary>
    public static bool IsName(string name) =>
        name.Length is > 0 and <= MostNameLength && !name.AsSpan().ContainsAnyInRange('\0', '\x1f');
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(EngineRecord))]
internal sealed partial class EngineJson : JsonSerializerContext;
