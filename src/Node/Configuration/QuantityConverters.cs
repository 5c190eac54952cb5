// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>Reads a size from a JSON string ("64MiB") or number (bytes).</summary>
internal sealed class SizeConverter : JsonConverter<long>
{
    public override long Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long bytes))
            return bytes;
        if (reader.TokenType != JsonTokenType.String)
            throw new JsonException("a size is text such as \"64MiB\" or a whole number of bytes");
        try
        {
            return Quantity.Size(reader.GetString()!);
        }
        catch (FormatException e)
        {
            throw new JsonException(e.Message, e);
        }
    }

    public override void Write(Utf8JsonWriter writer, long value, JsonSerializerOptions options) =>
        writer.WriteNumberValue(value);
}

/// <summary>Reads a duration from a JSON string ("5s").</summary>
internal sealed class DurationConverter : JsonConverter<TimeSpan>
{
    public override TimeSpan Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.String)
            throw new JsonException("a duration is text such as \"5s\" or \"500ms\"");
        try
        {
            return Quantity.Duration(reader.GetString()!);
        }
        catch (FormatException e)
        {
            throw new JsonException(e.Message, e);
        }
    }

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) =>
        writer.WriteStringValue($"{value.TotalMilliseconds}ms");
}
