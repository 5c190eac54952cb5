// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Node.Replay;
using Mooncake.Mesh.Node.Serve;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"demo": a trace is replayed with every byte checked, and half way one node is killed.</summary>
internal static class DemoCommand
{
    private const int Nodes = 3;

    internal static Command Create(Terminal terminal)
    {
        Option<string?> trace = new("--trace") { Description = "trace to replay; without it: the shipped one" };
        TextOption<long> segmentSize = Flags.Size("--segment-size", "memory of each node", "128MiB");
        Option<int> kill = new("--kill") { Description = "process of the node to kill, of a mesh that runs already" };
        Option<bool> json = Flags.Json();
        var command = new Command("demo", "Replay the demo trace on three nodes and kill one on the way.")
        {
            trace, segmentSize, kill, json,
        };
        var pace = new PaceFlags(command);
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            bool running = connection.Given(parsed);
            if (running != parsed.GetValue(kill) > 0)
            {
                throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument, "config",
                    "--kill PID goes with --node or --etcd, and these with it"));
            }

            using ILoggerFactory logs = Logs.Create(terminal, LogLevel.Error);
            await using DevMesh? mesh = running
                ? null
                : await DevMesh.StartAsync(Nodes, segmentSize.Read(parsed), logs, cancel);
            await using MeshClient client = mesh is null
                ? await connection.ConnectAsync(parsed, cancel)
                : MeshClient.For(mesh.Nodes[0]);
            List<TraceRequest> requests = await ReadAsync(parsed.GetValue(trace), terminal, cancel);
            ReplayOptions options = pace.Options(parsed, connection.Deadline(parsed));
            (ReplayReport before, ReplayReport all) = await RunAsync(client, requests, options,
                mesh is null ? () => KillProcess(parsed.GetValue(kill)) : mesh.Nodes[^1].Abort, cancel);
            if (parsed.GetValue(json))
                terminal.WriteJson(all.WriteJson);
            else
                Table(terminal, before, all);
            return all.Clean ? ExitCode.Ok : ExitCode.Refused;
        });
        return command;
    }

    private static async Task<(ReplayReport Before, ReplayReport All)> RunAsync(
        MeshClient client, List<TraceRequest> requests, ReplayOptions options, Action kill, CancellationToken cancel)
    {
        ReplayRun run = null!;
        ReplayReport? before = null;
        var store = new ClientBlockStore(client, Placement.Spread, options.Deadline);
        run = new ReplayRun(store, options, TimeProvider.System)
        {
            OnProgress = done =>
            {
                if (done != requests.Count / 2)
                    return;
                before = run.Statistics.Report();
                run.Statistics.Kill();
                kill();
            },
        };
        ReplayReport all = await run.RunAsync(requests.ToAsyncEnumerable(), cancel);
        return (before ?? all, all);
    }

    private static void Table(Terminal terminal, ReplayReport before, ReplayReport all)
    {
        static string Row(string phase, long requests, double ratio, long wrong, double gap) => string.Create(
            CultureInfo.InvariantCulture, $"{phase,-16}{requests,10}{ratio,12:P1}{wrong,14}{gap,14:0.0} ms");
        long blocks = all.Blocks - before.Blocks;
        double ratio = blocks == 0 ? 0 : (double)(all.BlockHits - before.BlockHits) / blocks;
        terminal.WriteLine($"{"",-16}{"requests",10}{"hit ratio",12}{"wrong bytes",14}{"longest gap",17}");
        terminal.WriteLine(
            Row("three nodes", before.Requests, before.HitRatio, before.WrongBytes, before.LongestGapMs));
        terminal.WriteLine(Row("one killed", all.Requests - before.Requests, ratio,
            all.WrongBytes - before.WrongBytes, all.LongestGapAfterKillMs));
        string last = string.Create(CultureInfo.InvariantCulture,
            $"requests {all.Requests}, hit ratio {all.HitRatio:P1}, wrong bytes {all.WrongBytes}, ")
            + string.Create(CultureInfo.InvariantCulture,
                $"longest gap after the kill {all.LongestGapAfterKillMs:0.0} ms");
        terminal.WriteLine(all.Clean ? last : $"{last}, late {all.LateCalls + all.GetTimeouts}");
    }

    private static async Task<List<TraceRequest>> ReadAsync(
        string? path, Terminal terminal, CancellationToken cancel)
    {
        await using Stream stream = path is null
            ? typeof(DemoCommand).Assembly.GetManifestResourceStream("demo-trace.jsonl")!
            : ReplayCommand.OpenTrace(path, terminal);
        var requests = new List<TraceRequest>();
        await foreach (TraceRequest request in TraceReader.ReadAsync(stream, path ?? "demo-trace.jsonl", cancel))
            requests.Add(request);
        return requests;
    }

    private static void KillProcess(int id)
    {
        try
        {
            using Process process = Process.GetProcessById(id);
            process.Kill();
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException
            or System.ComponentModel.Win32Exception)
        {
            throw new MeshException(new MeshError(MeshErrorCode.System, "demo", $"process {id}: {e.Message}"));
        }
    }
}
