// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>How large a segment is to be: so many bytes, or what its device has free, less a reserve.</summary>
/// <param name="Bytes">The length in bytes; 0 with a reserve.</param>
/// <param name="FreeLess">The reserve in bytes, or null.</param>
internal readonly record struct SegmentSize(long Bytes, long? FreeLess = null)
{
    private const string Free = "free";

    public static implicit operator SegmentSize(long bytes) => new(bytes);

    /// <summary>Parses "64MiB", "free-2GiB" or "free".</summary>
    /// <exception cref="FormatException">One clause that quotes the text and shows examples.</exception>
    internal static SegmentSize Parse(string text)
    {
        string trimmed = text.Trim();
        if (!trimmed.StartsWith(Free, StringComparison.Ordinal))
            return new SegmentSize(Quantity.Size(text));
        string reserve = trimmed[Free.Length..].Trim();
        if (reserve.Length == 0)
            return new SegmentSize(0, 0);
        if (reserve[0] == '-')
            return new SegmentSize(0, Quantity.Size(reserve[1..]));
        throw new FormatException($"'{text}' is no size; write 64MiB, or free-2GiB for memory of a device");
    }

    /// <inheritdoc/>
    public override string ToString() => FreeLess is { } left ? $"{Free}-{left}" : $"{Bytes}";
}

/// <summary>Reads the size of a segment from a JSON string ("64MiB", "free-2GiB") or number (bytes).</summary>
internal sealed class SegmentSizeConverter : JsonConverter<SegmentSize>
{
    public override SegmentSize Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long bytes))
            return bytes;
        if (reader.TokenType != JsonTokenType.String)
            throw new JsonException("a size is text such as \"64MiB\" or a whole number of bytes");
        try
        {
            return SegmentSize.Parse(reader.GetString()!);
        }
        catch (FormatException e)
        {
            throw new JsonException(e.Message, e);
        }
    }

    public override void Write(Utf8JsonWriter writer, SegmentSize value, JsonSerializerOptions options)
    {
        if (value.FreeLess is null)
            writer.WriteNumberValue(value.Bytes);
        else
            writer.WriteStringValue(value.ToString());
    }
}
