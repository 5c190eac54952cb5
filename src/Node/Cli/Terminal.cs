// SPDX-License-Identifier: Apache-2.0

using System.Text;
using System.Text.Json;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>
/// Where a command reads and writes: results go to <see cref="Output"/>, logs and errors to <see cref="Error"/>.
/// </summary>
internal sealed record Terminal(Stream Input, Stream Output, TextWriter Error, Func<string, string?> Environment)
{
    private static readonly JsonWriterOptions Compact = new()
    {
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The process's own streams, taken before any library can write to them.</summary>
    internal static Terminal OfProcess()
    {
        var error = new StreamWriter(Console.OpenStandardError(), new UTF8Encoding(false)) { AutoFlush = true };
        return new Terminal(
            Console.OpenStandardInput(), Console.OpenStandardOutput(), TextWriter.Synchronized(error),
            System.Environment.GetEnvironmentVariable);
    }

    /// <summary>Writes one line of results.</summary>
    internal void WriteLine(string line) => Write(Encoding.UTF8.GetBytes(line + "\n"));

    /// <summary>Writes bytes of results.</summary>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        Output.Write(bytes);
        Output.Flush();
    }

    /// <summary>Writes one JSON object as a line of results.</summary>
    internal void WriteJson(Action<Utf8JsonWriter> fields)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Compact))
        {
            json.WriteStartObject();
            fields(json);
            json.WriteEndObject();
        }

        buffer.WriteByte((byte)'\n');
        Write(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
    }
}
