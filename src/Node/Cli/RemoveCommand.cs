// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"rm": named keys, those that a regular expression matches, or all.</summary>
internal static class RemoveCommand
{
    internal static Command Create(Terminal terminal)
    {
        Argument<string[]> keys = new("keys") { Description = "names", Arity = ArgumentArity.ZeroOrMore };
        Option<string?> regex = new("--regex")
        {
            Description = "remove the keys that this regular expression matches",
            HelpName = "PATTERN",
        };
        Option<bool> all = new("--all") { Description = "remove everything" };
        Option<bool> json = Flags.Json();
        var command = new Command("rm", "Remove values.") { keys, regex, all, json };
        command.Validators.Add(result =>
        {
            int named = result.GetValue(keys) is { Length: > 0 } ? 1 : 0;
            int matched = result.GetValue(regex) is null ? 0 : 1;
            if (named + matched + (result.GetValue(all) ? 1 : 0) != 1)
                result.AddError("name keys, or --regex PATTERN, or --all: one of these");
        });
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            await using MeshClient client = await connection.ConnectAsync(parsed, cancel);
            TimeSpan? deadline = connection.GivenDeadline(parsed);
            if (parsed.GetValue(all))
                return Write(terminal, parsed.GetValue(json), (await client.TryRemoveAllAsync(deadline, cancel)).Value);
            if (parsed.GetValue(regex) is not { } pattern)
            {
                return await ObjectCommands.EachKeyAsync(terminal, parsed.GetValue(keys)!, parsed.GetValue(json),
                    "removed", key => client.TryRemoveAsync(key, cancel));
            }

            long removed = (await client.TryRemoveMatchingAsync(pattern, deadline, cancel)).Value;
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(fields =>
                {
                    fields.WriteString("pattern", pattern);
                    fields.WriteNumber("removed", removed);
                });
            }
            else
            {
                terminal.WriteLine($"{removed} removed");
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static int Write(Terminal terminal, bool json, RemoveAllOutcome outcome)
    {
        if (json)
        {
            terminal.WriteJson(fields =>
            {
                fields.WriteNumber("times", outcome.Times);
                fields.WriteNumber("nodes", outcome.Nodes);
                fields.WriteNumber("away", outcome.Away);
            });
        }
        else
        {
            terminal.WriteLine(outcome.Away == 0
                ? $"everything removed on {outcome.Nodes} nodes"
                : $"everything removed on {outcome.Nodes} nodes; {outcome.Away} will when they can be reached");
        }

        return ExitCode.Ok;
    }
}
