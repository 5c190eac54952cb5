// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Hosting.Systemd;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Logging;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>Where a node is served.</summary>
/// <param name="Admin">The admin port.</param>
/// <param name="Node">The port of peers and clients.</param>
/// <param name="Master">The port that answers as Mooncake's master does, or null.</param>
internal sealed record DaemonEndpoints(string Admin, string Node, string? Master);

/// <summary>One serving node, from its first log line to its last.</summary>
internal sealed class MeshDaemon(ServeOptions options, Terminal terminal, ILoggerFactory logs, Signals signals)
{
    private readonly ILogger _log = logs.CreateLogger("Serve");
    private readonly DaemonState _state = new();

    // Asked by NOTIFY_SOCKET alone: UseSystemd does nothing when a wrapper script or a container stands between the
    // service manager and this process, and it would report ready as soon as the admin port answers.
    private readonly SystemdNotifier _systemd = new();
    private MeshNode? _serving;

    /// <summary>The level that the log has, where it may change.</summary>
    internal LogThreshold? Threshold { get; init; }

    /// <summary>What SIGHUP does; null: nothing.</summary>
    internal ServeReload? Reload { get; init; }

    /// <summary>Called once the node serves.</summary>
    internal Action<DaemonEndpoints>? OnReady { get; init; }

    /// <summary>Serves until a signal, then leaves the mesh.</summary>
    /// <returns>Null after an orderly end, else why it did not start.</returns>
    internal async Task<MeshError?> RunAsync(IMeshRegistry registry, MeshRuntime runtime)
    {
        LineLevel.TryParse(options.LogLevel, out LogLevel least);
        LogThreshold threshold = Threshold ?? new LogThreshold(least);
        using IDisposable hangUp = signals.OnHangUp(() =>
        {
            if (Volatile.Read(ref _serving) is { } running)
                Reload?.Run(running);
        });
        using var metrics = new DaemonMetrics(_state, runtime.Time);
        MeshResult<AdminServer> started;
        try
        {
            started = await AdminServer.StartAsync(options.Admin, _state, terminal, threshold, signals.First);
        }
        catch (OperationCanceledException) when (signals.First.IsCancellationRequested)
        {
            return null;
        }

        if (started.Error is { } error)
            return error;
        await using AdminServer admin = started.Value;
        _log.Event(LogLevel.Information, "admin.listening", "{endpoint}", admin.Endpoint);
        return await RunAsync(admin.Endpoint, registry, runtime, threshold);
    }

    private async Task<MeshError?> RunAsync(
        string admin, IMeshRegistry registry, MeshRuntime runtime, LogThreshold threshold)
    {
        if (options.MasterHttp is not { } address)
            return await ServeAsync(admin, null, registry, runtime);
        MeshResult<MasterServer> started;
        try
        {
            started = await MasterServer.StartAsync(address, _state, terminal, threshold, signals.First);
        }
        catch (OperationCanceledException) when (signals.First.IsCancellationRequested)
        {
            return null;
        }

        if (started.Error is { } error)
            return error;
        await using MasterServer master = started.Value;
        _log.Event(LogLevel.Information, "master.listening", "{endpoint}", master.Endpoint);
        return await ServeAsync(admin, master.Endpoint, registry, runtime);
    }

    private async Task<MeshError?> ServeAsync(
        string admin, string? master, IMeshRegistry registry, MeshRuntime runtime)
    {
        MeshResult<MeshNode> result =
            await MeshNode.StartAsync(options.ToNodeOptions(), registry, runtime, signals.First);
        if (result.Error is { } refused)
            return signals.First.IsCancellationRequested ? null : refused;
        await using MeshNode node = result.Value;
        using var nodeMetrics = new MeshMetrics(node);
        _state.Started(node);
        Volatile.Write(ref _serving, node);
        _log.Event(LogLevel.Information, "node.serving", "{nodeId} {cluster} {listen} {endpoint} {advertise}",
            options.NodeId, options.Cluster, options.Listen, node.Endpoint, options.Advertise ?? node.Endpoint);
        if (_systemd.IsEnabled)
            _systemd.Notify(ServiceState.Ready);
        OnReady?.Invoke(new DaemonEndpoints(admin, node.Endpoint, master));

        await StopRequestedAsync();
        await LeaveAsync(node);
        return null;
    }

    private async Task LeaveAsync(MeshNode node)
    {
        TimeSpan grace = (Reload?.Current ?? options).Grace;
        _state.Leaving();
        _log.Event(LogLevel.Information, "node.leaving", "{graceMs}", (long)grace.TotalMilliseconds);
        if (_systemd.IsEnabled)
            _systemd.Notify(ServiceState.Stopping);
        try
        {
            await node.LeaveAsync(grace, signals.Second);
        }
        catch (OperationCanceledException) when (signals.Second.IsCancellationRequested)
        {
            _log.Event(LogLevel.Warning, "node.grace_cut", "{by}", "second signal");
        }

        _log.Event(LogLevel.Information, "node.left", "{nodeId}", options.NodeId);
    }

    private async Task StopRequestedAsync()
    {
        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration registration = signals.First.Register(stopped.SetResult);
        await stopped.Task;
    }
}
