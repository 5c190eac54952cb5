// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Node.Bench;
using Mooncake.Mesh.Node.Logging;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>The command line: parses, runs, and turns every failure into one line and an exit code.</summary>
internal static class MeshCommand
{
    internal const string Name = "mooncake-mesh";

    /// <summary>Runs one command line.</summary>
    internal static async Task<int> RunAsync(string[] args, Terminal terminal)
    {
        using var signals = new Signals();
        using ILoggerFactory log = Logs.Create(terminal, LogLevel.Information);
        Console.SetOut(new ForeignWriter(log.CreateLogger("Console")));
        try
        {
            ParseResult parsed = Build(terminal, signals).Parse(args);
            if (Mistake(args, parsed) is { } mistake)
            {
                string command = string.Join(' ', Path(parsed.CommandResult.Command, parsed));
                Complain(terminal, "usage", $"{mistake} (see '{command} --help')");
                return ExitCode.Usage;
            }

            var settings = new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
                Output = new StreamWriter(terminal.Output) { AutoFlush = true },
                Error = terminal.Error,
            };
            return await parsed.InvokeAsync(settings, signals.First);
        }
        catch (MeshException e)
        {
            Complain(terminal, e.Error.Stage, e.Error.Message);
            return ExitCode.Of(e.Error);
        }
        catch (OperationCanceledException) when (signals.First.IsCancellationRequested)
        {
            Complain(terminal, "stop", "interrupted");
            return ExitCode.Refused;
        }
        catch (Exception e)
        {
            Complain(terminal, "internal", $"{e.GetType().Name}: {e.Message}");
            return ExitCode.Refused;
        }
    }

    /// <summary>The command with all its subcommands.</summary>
    internal static RootCommand Build(Terminal terminal, Signals signals)
    {
        var root = new RootCommand("A masterless cache for the KV blocks of LLM inference.");
        root.Options.OfType<VersionOption>().Single().Action = VersionCommand.Short(terminal);
        root.Subcommands.Add(ServeCommand.Create(terminal, signals));
        root.Subcommands.Add(DevCommand.Create(terminal, signals));
        root.Subcommands.Add(StatusCommand.Create(terminal));
        foreach (Command command in ObjectCommands.Create(terminal))
            root.Subcommands.Add(command);
        root.Subcommands.Add(ReplayCommand.Create(terminal));
        root.Subcommands.Add(DemoCommand.Create(terminal));
        root.Subcommands.Add(BenchCommand.Create(terminal));
        root.Subcommands.Add(BenchPeers.Create(terminal));
        root.Subcommands.Add(TraceCommand.Create(terminal));
        root.Subcommands.Add(DoctorCommand.Create(terminal));
        root.Subcommands.Add(ConfigCommand.Create(terminal));
        root.Subcommands.Add(VersionCommand.Create(terminal));
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        return root;
    }

    /// <summary>What is wrong with the command line, or null.</summary>
    private static string? Mistake(string[] args, ParseResult parsed)
    {
        bool refused = parsed.Errors.Count > 0 && parsed.Action is ParseErrorAction;
        if (!refused && parsed.Errors.Count > 0)
            return null;
        if (refused && parsed.CommandResult.Command.Subcommands.Count > 0)
            return parsed.UnmatchedTokens is [var word, ..] ? $"'{word}' is no command" : "name a command";
        // An argument takes whatever stands there, a mistyped flag too.
        IEnumerable<string> words = parsed.CommandResult.Tokens.Select(token => token.Value)
            .Concat(parsed.UnmatchedTokens);
        if (!args.Contains("--") && words.FirstOrDefault(word => word.Length > 1 && word[0] == '-') is { } flag)
            return $"'{flag}' is no flag here; a name like it goes after --";
        return refused ? parsed.Errors[0].Message : null;
    }

    /// <summary>One line for a failure.</summary>
    internal static void Complain(Terminal terminal, string stage, string message) =>
        terminal.Error.WriteLine($"{Name}: {stage}: {message.ReplaceLineEndings(" ")}");

    private static IEnumerable<string> Path(Command command, ParseResult parsed) =>
        command == parsed.RootCommandResult.Command ? [Name] : [Name, command.Name];

    private sealed class HelpWithExamples(HelpAction inner) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            int code = inner.Invoke(parseResult);
            TextWriter output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Examples:");
            foreach (string example in Examples.Of(parseResult.CommandResult.Command.Name))
                output.WriteLine($"  {example}");
            output.WriteLine();
            output.WriteLine("Exit codes: 0 ok, 1 refused, 2 usage, 3 not found.");
            output.Flush();
            return code;
        }
    }
}
