// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.Globalization;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Node.Replay;
using Mooncake.Mesh.Node.Serve;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"replay": runs a KV cache trace against a mesh.</summary>
internal static class ReplayCommand
{
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromSeconds(2);

    internal static Command Create(Terminal terminal)
    {
        Argument<string> trace = new("trace") { Description = "trace, one JSON request a line; -: standard input" };
        Option<int> dev = new("--dev") { Description = "run N nodes in this process instead", HelpName = "N" };
        TextOption<long> segmentSize = Flags.Size("--segment-size", "payload memory of each node of --dev", "256MiB");
        TextOption<Placement> placement = Flags.PlacementFlag("spread");
        Option<bool> json = Flags.Json();
        var command = new Command("replay",
            "Replay a KV cache trace: match, get what is there, put what is not, check every byte.")
        {
            trace, dev, segmentSize, placement, json,
        };
        var pace = new PaceFlags(command);
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            int nodes = parsed.GetValue(dev);
            if (nodes > 0 && connection.Given(parsed))
            {
                throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument, "config",
                    "--dev runs nodes of its own: name no other mesh beside it"));
            }

            using ILoggerFactory logs = Logs.Create(terminal, nodes > 0 ? LogLevel.Warning : LogLevel.Information);
            using ILoggerFactory progress = Logs.Create(terminal, LogLevel.Information);
            ReplayOptions options = pace.Options(parsed, connection.Deadline(parsed));
            await using DevMesh? mesh = nodes > 0
                ? await DevMesh.StartAsync(nodes, segmentSize.Read(parsed), logs, cancel)
                : null;
            await using MeshClient client = mesh is null
                ? await connection.ConnectAsync(parsed, cancel)
                : MeshClient.For(mesh.Nodes[0]);
            await using Stream stream = OpenTrace(parsed.GetValue(trace)!, terminal);
            var store = new ClientBlockStore(client, placement.Read(parsed), options.Deadline);
            ReplayReport report = await RunAsync(
                store, options, client, mesh,
                TraceReader.ReadAsync(stream, parsed.GetValue(trace)!, cancel),
                progress.CreateLogger("Replay"), cancel);
            if (parsed.GetValue(json))
                terminal.WriteJson(report.WriteJson);
            else
                terminal.WriteLine(string.Join('\n', report.Lines()));
            return report.WrongBytes == 0 ? ExitCode.Ok : ExitCode.Refused;
        });
        return command;
    }

    /// <summary>Opens a trace file.</summary>
    /// <exception cref="MeshException">It cannot be read.</exception>
    internal static Stream OpenTrace(string path, Terminal terminal)
    {
        try
        {
            return path == "-" ? terminal.Input : File.OpenRead(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MeshException(new MeshError(MeshErrorCode.System, "trace", e.Message));
        }
    }

    /// <summary>Logs how far a run is, every two seconds.</summary>
    internal static Action<long> Progress(Func<ReplayReport> report, ILogger log, TimeProvider time)
    {
        long last = time.GetTimestamp();
        return requests =>
        {
            long seen = Volatile.Read(ref last);
            if (time.GetElapsedTime(seen) < ProgressInterval
                || Interlocked.CompareExchange(ref last, time.GetTimestamp(), seen) != seen)
                return;
            ReplayReport now = report();
            log.Event(LogLevel.Information, "replay.progress",
                "{requests} {blocks} {blockHits} {wrongBytes} {seconds}",
                requests, now.Blocks, now.BlockHits, now.WrongBytes, Math.Round(now.Seconds, 1));
        };
    }

    private static async Task<ReplayReport> RunAsync(
        IBlockStore store, ReplayOptions options, MeshClient client, DevMesh? mesh,
        IAsyncEnumerable<TraceRequest> trace, ILogger log, CancellationToken cancel)
    {
        async Task<long> Evictions() => mesh is null
            ? await EvictionCount.OfAsync(client, cancel)
            : mesh.Nodes.Sum(node => EvictionCount.Of(node.Status().ToJson()));
        long before = await Evictions();
        ReplayRun run = null!;
        run = new ReplayRun(store, options, TimeProvider.System)
        {
            OnProgress = Progress(() => run.Statistics.Report(), log, TimeProvider.System),
        };
        ReplayReport report = await run.RunAsync(trace, cancel);
        long after = await Evictions();
        return report with { Evictions = before < 0 || after < 0 ? -1 : after - before };
    }
}

/// <summary>Flags that say how fast and how large a replay is.</summary>
internal sealed class PaceFlags
{
    private readonly TextOption<int> _blockSize =
        new("--block-size", "bytes of a block", "SIZE", "4KiB", ParseBlockSize);

    private readonly Option<int> _concurrency = Flags.Count("--concurrency", "requests in flight", 1);
    private readonly Option<int> _batch = Flags.Count("--batch", "blocks in one call, at most", 64);
    private readonly TextOption<double?> _speed =
        new("--speed", "max, or xN for N times real time", "HOW", "max", ParseSpeed);

    private readonly Option<long?> _limit = new("--limit") { Description = "requests to replay", HelpName = "N" };

    internal PaceFlags(Command command)
    {
        foreach (Option option in (Option[])[_blockSize, _concurrency, _batch, _speed, _limit])
            command.Options.Add(option);
    }

    internal ReplayOptions Options(ParseResult parsed, TimeSpan deadline) => new()
    {
        BlockSize = _blockSize.Read(parsed),
        Concurrency = parsed.GetValue(_concurrency),
        Batch = parsed.GetValue(_batch),
        Speed = _speed.Read(parsed),
        Limit = parsed.GetValue(_limit),
        Deadline = deadline,
    };

    private static int ParseBlockSize(string text) => Quantity.Size(text) is var size and >= 1 and <= 1 << 30
        ? (int)size
        : throw new FormatException($"'{text}' is not from 1 byte to 1GiB");

    private static double? ParseSpeed(string text)
    {
        if (text == "max")
            return null;
        const NumberStyles Style = NumberStyles.AllowDecimalPoint;
        if (text.StartsWith('x') && double.TryParse(text.AsSpan(1), Style, CultureInfo.InvariantCulture, out double n)
            && n > 0)
            return n;
        throw new FormatException($"'{text}' is neither max nor xN such as x10");
    }
}
