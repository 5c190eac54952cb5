// SPDX-License-Identifier: Apache-2.0

using System.Collections;
using System.CommandLine;
using Mooncake.Mesh.Cuda;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Node.Serve;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"serve": one node of a mesh that etcd coordinates.</summary>
internal static class ServeCommand
{
    internal static Command Create(Terminal terminal, Signals signals)
    {
        Option<string?> config = new("--config", "-c")
        {
            Description = "configuration file (JSON with comments)",
            HelpName = "FILE",
        };
        Option<bool> json = Flags.Json();
        Dictionary<ServeSetting, Option<string?>> flags = ServeSetting.All.ToDictionary(
            setting => setting,
            setting => new Option<string?>(setting.Flag) { Description = setting.Help });
        var command = new Command("serve",
            "Run a node. Settings: the file, over it MOONCAKE_MESH_* of the environment, over these the flags.")
        {
            config, json,
        };
        foreach (ServeSetting setting in ServeSetting.All)
        {
            Option<string?> flag = flags[setting];
            if (setting.Name is "insecure" or "waitForNodeId")
                flag.Arity = ArgumentArity.ZeroOrOne;
            command.Options.Add(flag);
        }

        command.SetAction(parsed =>
        {
            (ServeOptions Options, IReadOnlyList<MeshError> Errors) Load() => ServeOptionsLoader.LoadValid(
                parsed.GetValue(config), terminal.Environment,
                setting => parsed.GetResult(flags[setting]) is null ? null : parsed.GetValue(flags[setting]) ?? "true");
            (ServeOptions options, IReadOnlyList<MeshError> errors) = Load();
            foreach (MeshError error in errors)
                MeshCommand.Complain(terminal, error.Stage, error.Message);
            return errors.Count > 0
                ? Task.FromResult(ExitCode.Usage)
                : RunAsync(options, Load, parsed.GetValue(json), terminal, signals);
        });
        return command;
    }

    private static async Task<int> RunAsync(ServeOptions options,
        Func<(ServeOptions Options, IReadOnlyList<MeshError> Errors)> load, bool json, Terminal terminal,
        Signals signals)
    {
        LineLevel.TryParse(options.LogLevel, out LogLevel least);
        var threshold = new LogThreshold(least);
        using ILoggerFactory logs = Logs.Create(terminal, threshold);
        Warn(options, logs.CreateLogger("Serve"));
        // Only where a segment wants one: a driver takes up to a second to begin.
        MeshResult<CudaMemory>? cuda = options.Segments.Any(segment => segment.ToSegmentOptions().IsOnDevice)
            ? CudaMemory.TryOpen()
            : default(MeshResult<CudaMemory>?);
        using CudaMemory? devices = cuda is { Succeeded: true } opened ? opened.Value : null;
        var runtime = new MeshRuntime
        {
            Network = new SocketNetwork(),
            Devices = devices,
            NoDevicesReason = cuda?.Error?.Message,
            Log = logs,
            Verbs = parts => RdmaTransport.OpenAsync(options.Rdma.ToOptions(), parts),
        };
        MeshResult<EtcdRegistry> created =
            EtcdRegistry.Create(ServeOptionsValidator.EtcdSettings(options), runtime);
        if (created.Error is { } wrong)
            throw new MeshException(wrong);
        await using EtcdRegistry registry = created.Value;
        var daemon = new MeshDaemon(options, terminal, logs, signals)
        {
            Threshold = threshold,
            Reload = new ServeReload(options, load, threshold, logs.CreateLogger("Serve")),
            OnReady = served =>
            {
                if (!json)
                    return;
                terminal.WriteJson(fields =>
                {
                    fields.WriteString("nodeId", options.NodeId);
                    fields.WriteString("endpoint", served.Node);
                    fields.WriteString("admin", served.Admin);
                    if (served.Master is { } master)
                        fields.WriteString("masterHttp", master);
                });
            },
        };
        if (await daemon.RunAsync(registry, runtime) is { } error)
            throw new MeshException(error);
        return ExitCode.Ok;
    }

    private static void Warn(ServeOptions options, ILogger log)
    {
        if (options.Insecure)
            log.Event(LogLevel.Warning, "config.insecure", "{listen}", options.Listen);
        IEnumerable<string> names = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .Select(entry => (string)entry.Key);
        foreach (string name in ServeOptionsLoader.UnknownVariables(names))
            log.Event(LogLevel.Warning, "config.unknown_variable", "{variable}", name);
    }
}
