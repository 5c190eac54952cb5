// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>"bench-peer ROLE": the other side of a measurement, started by "bench"; not in the help text.</summary>
internal static class BenchPeers
{
    internal const string Command = "bench-peer";

    internal static Command Create(Terminal terminal)
    {
        Argument<string> role = new("role");
        Argument<string[]> more = new("more");
        var command = new Command(Command, "The other side of a measurement; started by 'bench'.") { role, more };
        command.Hidden = true;
        command.SetAction(async (parsed, _) =>
        {
            string[] words = parsed.GetValue(more) ?? [];
            switch (parsed.GetValue(role))
            {
                case "echo":
                    await EchoPeer.ServeAsync(terminal.WriteLine);
                    return ExitCode.Ok;
                case "raw":
                    RawPeer.Serve(terminal.WriteLine);
                    return ExitCode.Ok;
                case EngineBench.Role:
                    await EngineBench.ServeAsync(Console.In, terminal.WriteLine);
                    return ExitCode.Ok;
                case RailPeers.ServerRole when words.Length is 1 or 2:
                    await RailPeers.ServeAsync(words[0], words.ElementAtOrDefault(1), Console.In, terminal.WriteLine);
                    return ExitCode.Ok;
                case RailPeers.ClientRole when words.Length == 3:
                    await RailPeers.GetAsync(words[0], words[1], words[2], Console.In, terminal.WriteLine);
                    return ExitCode.Ok;
                case RdmaTarget.Role when words.Length == 2:
                    await RdmaTarget.ServeAsync(words[0], words[1], Console.In, terminal.WriteLine);
                    return ExitCode.Ok;
                case GetPeer.Role when words.Length == 3:
                    await GetPeer.ServeAsync(words[0], words[1], words[2], Console.In, terminal.WriteLine);
                    return ExitCode.Ok;
                case FailoverPeer.Role when words.Length == 1:
                    await FailoverPeer.ServeAsync(words[0], Console.In, terminal.WriteLine);
                    return ExitCode.Ok;
                default:
                    MeshCommand.Complain(terminal, "bench", $"no role '{parsed.GetValue(role)}'");
                    return ExitCode.Usage;
            }
        });
        return command;
    }
}
