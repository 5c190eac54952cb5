// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text.Json;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>Prints rows as they come as a table, or all of them at the end as a JSON array.</summary>
internal sealed class BenchReport(Terminal terminal, bool json)
{
    private readonly List<BenchRow> _rows = [];
    private readonly Machine _machine = Machine.Here();

    /// <summary>The rows so far.</summary>
    internal IReadOnlyList<BenchRow> Rows => _rows;

    /// <summary>Adds a figure.</summary>
    internal void Add(BenchRow row)
    {
        if (!json && _rows.Count == 0)
        {
            terminal.WriteLine(
                $"{_machine.Cpu}, {_machine.Cores} cores, Linux {_machine.Kernel}, {_machine.Runtime}, "
                + $"{MeshCommand.Name} {_machine.Version}");
            terminal.WriteLine($"{"",-44}{"value",12}{"limit",12}{"ratio",9}  unit");
        }

        _rows.Add(row);
        if (!json)
        {
            terminal.WriteLine(
                $"{row.Name,-44}{Text(row.Value),12}{Text(row.Limit),12}{Text(row.Ratio),9}  {row.Unit}");
        }
    }

    /// <summary>Ends the report.</summary>
    internal void End()
    {
        if (!json)
            return;
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartArray();
            foreach (BenchRow row in _rows)
            {
                writer.WriteStartObject();
                writer.WriteString("name", row.Name);
                writer.WriteNumber("value", Math.Round(row.Value, 4));
                writer.WriteString("unit", row.Unit);
                Write(writer, "limit", row.Limit);
                Write(writer, "ratio", row.Ratio);
                _machine.Write(writer);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        buffer.WriteByte((byte)'\n');
        terminal.Write(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
    }

    private static void Write(Utf8JsonWriter writer, string name, double? value)
    {
        if (value is { } number)
            writer.WriteNumber(name, Math.Round(number, 4));
        else
            writer.WriteNull(name);
    }

    private static string Text(double? value) => value is not { } number
        ? "-"
        : number.ToString(Math.Abs(number) < 10 ? "0.000" : Math.Abs(number) < 1000 ? "0.0" : "#,0",
            CultureInfo.InvariantCulture);
}
