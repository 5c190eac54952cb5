// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>One request of a trace.</summary>
/// <param name="Line">Its line in the file, from 1.</param>
/// <param name="Timestamp">Milliseconds since the start of the trace.</param>
/// <param name="HashIds">Its chain of blocks.</param>
internal sealed record TraceRequest(long Line, double Timestamp, long[] HashIds);

/// <summary>
/// Reads a trace: one JSON object a line with timestamp (ms), input_length, output_length and hash_ids. Streams; other
/// fields are skipped, empty lines too.
/// </summary>
internal static class TraceReader
{
    private const int MaxBlocks = 1 << 20;

    /// <summary>The requests in order.</summary>
    /// <exception cref="MeshException">A line is no request: file, line and field are named.</exception>
    internal static async IAsyncEnumerable<TraceRequest> ReadAsync(
        Stream stream, string name, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var reader = new StreamReader(stream, Encoding.UTF8, true, 1 << 16, leaveOpen: true);
        for (long line = 1; await reader.ReadLineAsync(cancel) is { } text; line++)
        {
            if (!string.IsNullOrWhiteSpace(text))
                yield return Parse(text, name, line);
        }
    }

    private static TraceRequest Parse(string text, string name, long line)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(text);
        }
        catch (JsonException e)
        {
            throw Wrong(name, line, $"no JSON at character {e.BytePositionInLine + 1}");
        }

        using (document)
        {
            JsonElement request = document.RootElement;
            if (request.ValueKind != JsonValueKind.Object)
                throw Wrong(name, line, "not a JSON object");
            double timestamp = Number(request, "timestamp", name, line);
            Number(request, "input_length", name, line);
            Number(request, "output_length", name, line);
            return new TraceRequest(line, timestamp, HashIds(request, name, line));
        }
    }

    private static double Number(JsonElement request, string field, string name, long line)
    {
        JsonElement value = Field(request, field, name, line);
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number) || number < 0)
            throw Wrong(name, line, $"field '{field}' is no number from 0 on");
        return number;
    }

    private static long[] HashIds(JsonElement request, string name, long line)
    {
        const string Name = "hash_ids";
        JsonElement value = Field(request, Name, name, line);
        if (value.ValueKind != JsonValueKind.Array)
            throw Wrong(name, line, $"field '{Name}' is no array");
        int count = value.GetArrayLength();
        if (count > MaxBlocks)
            throw Wrong(name, line, $"field '{Name}' has {count} blocks; the limit is {MaxBlocks}");
        var ids = new long[count];
        int i = 0;
        foreach (JsonElement id in value.EnumerateArray())
        {
            if (id.ValueKind != JsonValueKind.Number || !id.TryGetInt64(out ids[i++]))
                throw Wrong(name, line, $"field '{Name}[{i - 1}]' is no whole number");
        }

        return ids;
    }

    private static JsonElement Field(JsonElement request, string field, string name, long line) =>
        request.TryGetProperty(field, out JsonElement value)
            ? value
            : throw Wrong(name, line, $"field '{field}' is missing");

    private static MeshException Wrong(string name, long line, string message) =>
        new(new MeshError(MeshErrorCode.InvalidArgument, "trace", $"{name} line {line}: {message}"));
}
