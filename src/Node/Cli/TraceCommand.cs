// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.Text;
using Mooncake.Mesh.Node.Replay;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"trace": makes a trace for "replay" (hidden: the shipped one is enough for most).</summary>
internal static class TraceCommand
{
    internal static Command Create(Terminal terminal)
    {
        Option<int> requests = Flags.Count("--requests", "requests", TraceGenerator.DemoRequests);
        Option<int> seed = Flags.Count("--seed", "seed of the random numbers", TraceGenerator.DemoSeed);
        var command = new Command("trace", "Make a trace of chats with shared prefixes.") { requests, seed };
        command.Hidden = true;
        command.SetAction(parsed =>
        {
            foreach (string line in TraceGenerator.Lines(parsed.GetValue(requests), parsed.GetValue(seed)))
                terminal.Output.Write(Encoding.UTF8.GetBytes(line + "\n"));
            terminal.Output.Flush();
            return ExitCode.Ok;
        });
        return command;
    }
}
