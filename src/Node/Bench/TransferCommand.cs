// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>"bench transfer": gets and puts of a mesh; or batches of the engine; or the cards alone.</summary>
internal static class TransferCommand
{
    internal static Command Create(Terminal terminal)
    {
        Option<string> transport = new("--transport")
        {
            Description = "mesh: gets and puts, views; engine: batches of the transfer engine; rdma: the cards alone",
            HelpName = "NAME",
            DefaultValueFactory = _ => "mesh",
        };
        Option<string> devices = Text("--devices", "RDMA devices of this side (default: all)");
        Option<string> targets = Text("--target-devices", "RDMA devices of the other side (default: all)");
        TextOption<long> block = Flags.Size("--block-size", "bytes of one request", "64KiB");
        Option<int> batch = Flags.Count("--batch", "requests that are submitted together", 128);
        Option<int> threads = Flags.Count("--threads", "batches under way at a time", 1);
        Option<int> iterations = Flags.Count("--iterations", "requests of one run", 1024);
        Option<string> operation = new("--operation")
        {
            Description = "read, write or both",
            HelpName = "NAME",
            DefaultValueFactory = _ => "both",
        };
        Option<bool> perftest = new("--perftest")
        {
            Description = "run ib_write_bw and ib_read_bw by turns, as the limit",
        };
        Command command = BenchCommand.Part(terminal, "transfer", "Large gets and puts, views; RDMA by itself.",
            (report, options, parsed) => parsed.GetValue(transport) switch
            {
                "mesh" => TransferBench.RunAsync(report, options),
                "engine" => EngineBench.RunAsync(report),
                "rdma" when parsed.GetValue(operation) is "read" or "write" or "both" => RdmaBench.RunAsync(report,
                    new RdmaBenchOptions(parsed.GetValue(devices)!, parsed.GetValue(targets)!, block.Read(parsed),
                        parsed.GetValue(batch), parsed.GetValue(threads), parsed.GetValue(operation)!,
                        parsed.GetValue(iterations), parsed.GetValue(perftest)), options.Cancel),
                "rdma" => throw Wrong("operation", parsed.GetValue(operation), "read, write and both"),
                var other => throw Wrong("transport", other, "mesh, engine and rdma"),
            });
        foreach (Option option in (Option[])[transport, devices, targets, block, batch, threads, iterations, operation,
            perftest])
            command.Options.Add(option);
        return command;
    }

    private static Option<string> Text(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "NAME,NAME",
        DefaultValueFactory = _ => "",
    };

    private static MeshException Wrong(string flag, string? value, string legal) => new(new MeshError(
        MeshErrorCode.InvalidArgument, "config:" + flag, $"--{flag} is '{value}'; {legal} are legal"));
}
