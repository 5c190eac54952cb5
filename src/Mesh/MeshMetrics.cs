// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics.Metrics;

namespace Mooncake.Mesh;

/// <summary>
/// A node's counters as instruments of the meter <see cref="MeterName"/>, with a tag for the node; names and units are
/// documented in docs/metrics.md. Read when they are scraped, never on the data path.
/// </summary>
public sealed class MeshMetrics : IDisposable
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "Mooncake.Mesh";

    /// <summary>Counts that fall as well as rise.</summary>
    private static readonly HashSet<string> Levels =
    [
        "connections", "data_connections", "dropped_queue", "hard_pinned_bytes", "reservations", "waiting_frame_bytes",
    ];

    private readonly Meter _meter = new(MeterName);
    private readonly MeshNode _node;
    private readonly KeyValuePair<string, object?> _tag;

    /// <summary>Makes the instruments of <paramref name="node"/>.</summary>
    public MeshMetrics(MeshNode node)
    {
        _node = node;
        _tag = new("node", node.NodeId);
        var counters = new SortedDictionary<string, long>(StringComparer.Ordinal);
        node.AddCounters(counters);
        foreach (string name in counters.Keys)
        {
            if (Levels.Contains(name))
                _meter.CreateObservableGauge("mooncake_mesh_" + name, () => Counter(name));
            else
                _meter.CreateObservableCounter("mooncake_mesh_" + name, () => Counter(name));
        }

        _meter.CreateObservableGauge("mooncake_mesh_tier_used_bytes", Tiers, "By");
        _meter.CreateObservableCounter("mooncake_mesh_rail_read_bytes", Rails, "By");
        _meter.CreateObservableCounter("mooncake_mesh_rdma_bytes", Cards, "By");
        Gauge("memory_capacity_bytes", "By", s => s.Memory.Capacity);
        Gauge("memory_live_bytes", "By", s => s.Memory.Live);
        Gauge("memory_filling_bytes", "By", s => s.Memory.Filling);
        Gauge("memory_zombie_bytes", "By", s => s.Memory.Zombie);
        Gauge("memory_free_bytes", "By", s => s.Memory.Free);
        Gauge("memory_largest_free_bytes", "By", s => s.Memory.LargestFree);
        Gauge("shared_processes", "{process}", s => s.SharedMemory.Processes);
        Gauge("shared_views", "{view}", s => s.SharedMemory.Views);
        Gauge("shared_view_bytes", "By", s => s.SharedMemory.ViewBytes);
        Gauge("shared_reserved_bytes", "By", s => s.SharedMemory.ReservedBytes);
        Gauge("objects", "{object}", s => s.Memory.Objects);
        Gauge("directory_records", "{record}", s => s.Slots.Records);
        Gauge("slots_primary", "{slot}", s => s.Slots.Primary);
        Gauge("slots_backup", "{slot}", s => s.Slots.Backup);
        Gauge("slots_complete", "{slot}", s => s.Slots.Complete);
        Gauge("slots_lost", "{slot}", s => s.Slots.Lost);
        Gauge("handover_wanted", "{slot}", s => s.Handover.Wanted);
        Gauge("handover_left", "{slot}", s => s.Handover.Left);
        Gauge("view_confirmed", "{node}", s => s.Life.Confirmed ? 1 : 0);
        Gauge("slots_incomplete", "{slot}", s => s.Slots.Incomplete);
        Gauge("slots_owed", "{slot}", s => s.Slots.Owed);
        Gauge("members", "{node}", s => s.View.Members.Count);
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();

    private IEnumerable<Measurement<long>> Rails()
    {
        foreach (var (rail, bytes) in _node.Transports?.Rails?.Read() ?? [])
            yield return new Measurement<long>(bytes, _tag, new("rail", rail));
    }

    private IEnumerable<Measurement<long>> Tiers() => _node.Status().Tiers
        .Select(tier => new Measurement<long>(tier.Used, _tag, new("tier", tier.Tier)))
        .DefaultIfEmpty(new Measurement<long>(0, _tag, new("tier", "none")));

    /// <summary>One value in any case: what has none is not exported.</summary>
    private IEnumerable<Measurement<long>> Cards() => (_node.Transports?.Cards ?? [])
        .Select(card => new Measurement<long>(card.Bytes, _tag, new("card", card.Card)))
        .DefaultIfEmpty(new Measurement<long>(0, _tag, new("card", "none")));

    private void Gauge(string name, string unit, Func<NodeStatus, long> read) =>
        _meter.CreateObservableGauge("mooncake_mesh_" + name,
            () => new Measurement<long>(read(_node.Status()), _tag), unit);

    private Measurement<long> Counter(string name)
    {
        var counters = new SortedDictionary<string, long>(StringComparer.Ordinal);
        _node.AddCounters(counters);
        return new Measurement<long>(counters.GetValueOrDefault(name), _tag);
    }
}
