// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"config": looks at a configuration file without starting a node.</summary>
internal static class ConfigCommand
{
    internal static Command Create(Terminal terminal)
    {
        var command = new Command("config", "Look at a configuration file.");
        command.Subcommands.Add(Check(terminal));
        return command;
    }

    private static Command Check(Terminal terminal)
    {
        Argument<string> file = new("file") { Description = "configuration file (JSON with comments)" };
        Option<bool> json = Flags.Json();
        var command = new Command("check",
            "Say everything that would keep a node from starting with this file and this environment.")
        {
            file, json,
        };
        command.SetAction(parsed =>
        {
            string path = parsed.GetValue(file)!;
            (ServeOptions options, IReadOnlyList<MeshError> errors) =
                ServeOptionsLoader.LoadValid(path, terminal.Environment, _ => null);
            if (parsed.GetValue(json))
                Write(terminal, options, errors);
            else if (errors.Count == 0)
                terminal.WriteLine($"{path}: ok");
            foreach (MeshError error in errors)
                MeshCommand.Complain(terminal, error.Stage, error.Message);
            return errors.Count == 0 ? ExitCode.Ok : ExitCode.Usage;
        });
        return command;
    }

    private static void Write(Terminal terminal, ServeOptions options, IReadOnlyList<MeshError> errors)
    {
        terminal.WriteJson(fields =>
        {
            fields.WriteString("nodeId", options.NodeId);
            fields.WriteString("cluster", options.Cluster);
            fields.WriteStartArray("errors");
            foreach (MeshError error in errors)
                fields.WriteStringValue($"{error.Stage}: {error.Message}");
            fields.WriteEndArray();
        });
    }
}
