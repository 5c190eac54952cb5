// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics.Metrics;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>What the daemon adds to the node's own metrics. Names are documented in docs/metrics.md.</summary>
internal sealed class DaemonMetrics : IDisposable
{
    /// <summary>Name of the meter.</summary>
    internal const string MeterName = "Mooncake.Mesh.Node";

    private readonly Meter _meter = new(MeterName);

    internal DaemonMetrics(DaemonState state, TimeProvider time)
    {
        long started = time.GetTimestamp();
        _meter.CreateObservableGauge("mooncake_mesh_ready", () => state.NotReadyReason is null ? 1 : 0,
            description: "1 when the node serves and its registry answers.");
        _meter.CreateObservableGauge("mooncake_mesh_degraded", () => state.Degraded ? 1 : 0,
            description: "1 while the registry is away.");
        _meter.CreateObservableGauge("mooncake_mesh_uptime_seconds", () => time.GetElapsedTime(started).TotalSeconds,
            description: "Seconds since the process began to serve.");
        _meter.CreateObservableGauge("mooncake_mesh_build_info",
            () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", VersionCommand.Version)),
            description: "Always 1; the version is a label.");
    }

    public void Dispose() => _meter.Dispose();
}
