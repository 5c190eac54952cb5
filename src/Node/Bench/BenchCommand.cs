// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>"bench": what this machine does, beside what it can do at most.</summary>
internal static class BenchCommand
{
    internal static Command Create(Terminal terminal)
    {
        var command = new Command("bench", "Measure, with the same machine's limit beside each figure.");
        command.Subcommands.Add(Part(terminal, "allocator", "Slot lookup, extents, fill.",
            (report, _) => AllocatorBench.RunAsync(report)));
        command.Subcommands.Add(Part(terminal, "directory", "Records: size, speed, pauses.",
            (report, options) => DirectoryBench.RunAsync(report, options)));
        command.Subcommands.Add(Part(terminal, "memory", "Copies and sums of native memory; the start of 4 GiB.",
            async (report, options) =>
            {
                await MemoryBench.RunAsync(report);
                await StartBench.RunAsync(report, options);
            }));
        command.Subcommands.Add(TransferCommand.Create(terminal));
        command.Subcommands.Add(Part(terminal, "store", "Small gets and puts, exists, locate.",
            (report, options) => StoreBench.RunAsync(report, options)));
        command.Subcommands.Add(Part(terminal, "rails", "A large get over two shaped links and over one; needs root.",
            (report, options) => RailsBench.RunAsync(report, options)));
        command.Subcommands.Add(Part(terminal, "failover",
            "Time without an answer after a kill, a cut link, the loss of etcd; needs root.",
            (report, options) => FailoverBench.RunAsync(report, options)));
        return command;
    }

    /// <summary>A part of the bench, with the flags that all have.</summary>
    internal static Command Part(
        Terminal terminal, string name, string description, Func<BenchReport, BenchOptions, Task> run) =>
        Part(terminal, name, description, (report, options, _) => run(report, options));

    /// <summary>The same for one that has more flags, which it adds to the command and reads itself.</summary>
    internal static Command Part(Terminal terminal, string name, string description,
        Func<BenchReport, BenchOptions, ParseResult, Task> run)
    {
        Option<bool> json = Flags.Json();
        Option<string?> etcd = new("--etcd")
        {
            Description = "etcd endpoints; without it one is started",
            HelpName = "ENDPOINTS",
        };
        var command = new Command(name, description) { json, etcd };
        command.SetAction(async (parsed, cancel) =>
        {
            var report = new BenchReport(terminal, parsed.GetValue(json));
            await run(report, new BenchOptions(parsed.GetValue(etcd), cancel), parsed);
            report.End();
            return ExitCode.Ok;
        });
        return command;
    }
}

/// <summary>What a measurement is told.</summary>
/// <param name="Etcd">Endpoints of etcd; null: one is started.</param>
/// <param name="Cancel">Ends the run.</param>
internal sealed record BenchOptions(string? Etcd, CancellationToken Cancel);
