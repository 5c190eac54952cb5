// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics.Metrics;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>Figures under the names that Mooncake's master has for them.</summary>
internal sealed class MasterMetrics : IDisposable
{
    internal const string MeterName = "Mooncake.Master";

    private readonly Meter _meter = new(MeterName);

    internal MasterMetrics(DaemonState state)
    {
        _meter.CreateObservableGauge("master_total_capacity_bytes",
            () => state.Node?.View.Members.Sum(member => member.Segments.Sum(segment => segment.Length)) ?? 0);
        _meter.CreateObservableGauge("segment_total_capacity_bytes",
            () => OfNode(state, status => status.Memory.Capacity));
        _meter.CreateObservableGauge("segment_allocated_bytes",
            () => OfNode(state, status => status.Memory.Capacity - status.Memory.Free));
    }

    public void Dispose() => _meter.Dispose();

    private static IEnumerable<Measurement<long>> OfNode(DaemonState state, Func<NodeStatus, long> figure) =>
        state.Node is { } node
            ? [new Measurement<long>(figure(node.Status()), new KeyValuePair<string, object?>("segment", node.NodeId))]
            : [];
}
