// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.Text.Json;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"status": what a node says of itself and of the mesh.</summary>
internal static class StatusCommand
{
    internal static Command Create(Terminal terminal)
    {
        Option<string?> of = new("--of") { Description = "endpoint of the node to ask", HelpName = "HOST:PORT" };
        Option<bool> json = Flags.Json();
        var command = new Command("status", "Show the state of a node and its view of the mesh.") { of, json };
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            await using MeshClient client = await connection.ConnectAsync(parsed, cancel);
            byte[] status = (await client.TryStatusAsync(parsed.GetValue(of), cancel)).Value;
            if (parsed.GetValue(json))
            {
                terminal.Write([.. status, (byte)'\n']);
                return ExitCode.Ok;
            }

            using JsonDocument document = JsonDocument.Parse(status);
            foreach ((string name, string value) in Flatten("", document.RootElement))
                terminal.WriteLine($"{name,-32} {value}");
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>Each leaf of a JSON value with its path: "segments[0].length".</summary>
    internal static IEnumerable<(string Name, string Value)> Flatten(string path, JsonElement element) =>
        element.ValueKind switch
        {
            JsonValueKind.Object => element.EnumerateObject()
                .SelectMany(member => Flatten(path.Length == 0 ? member.Name : $"{path}.{member.Name}", member.Value)),
            JsonValueKind.Array => element.EnumerateArray()
                .SelectMany((item, index) => Flatten($"{path}[{index}]", item)),
            JsonValueKind.True or JsonValueKind.False => [(path, element.GetRawText())],
            _ => [(path, element.ToString())],
        };
}
