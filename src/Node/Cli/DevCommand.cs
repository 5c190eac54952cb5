// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Node.Serve;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"dev": a mesh in one process, for trying out.</summary>
internal static class DevCommand
{
    internal static Command Create(Terminal terminal, Signals signals)
    {
        Option<int> nodes = Flags.Count("--nodes", "number of nodes", 3);
        TextOption<long> size = Flags.Size("--segment-size", "memory of each node", "256MiB");
        Option<string?> secretFile = Flags.SecretFile();
        Option<string> transport = Flags.Transport();
        Option<bool> json = Flags.Json();
        var command = new Command("dev", "Run a mesh in this process, without etcd, until interrupted.")
        {
            nodes, size, transport, secretFile, json,
        };
        command.SetAction(async (parsed, cancel) =>
        {
            using ILoggerFactory logs = Logs.Create(terminal, LogLevel.Information);
            await using DevMesh mesh = await DevMesh.StartAsync(
                parsed.GetValue(nodes), size.Read(parsed), logs, cancel, Flags.Secret(parsed, secretFile),
                Flags.Transport(parsed, transport));
            foreach (MeshNode node in mesh.Nodes)
            {
                if (parsed.GetValue(json))
                    terminal.WriteJson(fields => fields.WriteString("endpoint", node.Endpoint));
                else
                    terminal.WriteLine($"node {node.Endpoint}");
            }

            var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            using CancellationTokenRegistration registration = signals.First.Register(stopped.SetResult);
            await stopped.Task;
            return ExitCode.Ok;
        });
        return command;
    }
}
