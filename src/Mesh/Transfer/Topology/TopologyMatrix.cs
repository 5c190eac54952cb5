// SPDX-License-Identifier: Apache-2.0

using System.Text;
using System.Text.Json;

namespace Mooncake.Mesh.Transfer.Topology;

/// <summary>The devices to reach a place by.</summary>
/// <param name="Preferred">Those that are nearest.</param>
/// <param name="Others">The rest, for when none of the preferred can be used.</param>
internal sealed record DevicePreference(IReadOnlyList<string> Preferred, IReadOnlyList<string> Others);

/// <summary>
/// Which RDMA devices serve which memory: "cpu:N" is that of a NUMA node, "cuda:N" that of a GPU. Written as Mooncake
/// writes it: <c>{"cpu:0":[["mlx5_0"],["mlx5_1"]],"cuda:0":[["mlx5_1"],["mlx5_0"]]}</c>, preferred devices first.
/// Immutable.
/// </summary>
internal sealed class TopologyMatrix
{
    /// <summary>Farther than any two devices below one host bridge.</summary>
    private const int OtherBridge = 1_000;

    private readonly DevicePreference _anywhere;
    private readonly List<(string Location, DevicePreference Preference)> _rows;

    /// <param name="rows">Its rows, in order.</param>
    internal TopologyMatrix(List<(string Location, DevicePreference Preference)> rows)
    {
        _rows = rows;
        _anywhere = new DevicePreference(
            [.. rows.SelectMany(row => row.Preference.Preferred.Concat(row.Preference.Others)).Distinct()], []);
    }

    /// <summary>Its rows: CPUs, then GPUs, each in the order of their numbers; or as the user wrote them.</summary>
    public IReadOnlyList<(string Location, DevicePreference Preference)> Rows => _rows;

    /// <summary>Works it out from the hardware.</summary>
    /// <remarks>
    /// A device whose NUMA node is not known is as near to one as to another. Nearest to a GPU are those with the
    /// fewest links between on the PCI buses; without a common host bridge, those of the same NUMA node.
    /// </remarks>
    public static TopologyMatrix Of(HostHardware hardware)
    {
        var rows = new List<(string, DevicePreference)>();
        foreach (int node in hardware.NumaNodes)
            rows.Add(($"cpu:{node}", Split(hardware.Nics, nic => nic.NumaNode < 0 || nic.NumaNode == node)));
        foreach (var gpu in hardware.Gpus)
        {
            int nearest = hardware.Nics.Count == 0 ? 0 : hardware.Nics.Min(nic => Distance(gpu, nic));
            rows.Add(($"cuda:{gpu.Index}", Split(hardware.Nics, nic => Distance(gpu, nic) == nearest)));
        }

        return new TopologyMatrix(rows);
    }

    /// <summary>The devices for a location; all of them where it has no row.</summary>
    public DevicePreference For(string location)
    {
        foreach (var (name, preference) in _rows)
        {
            if (name == location)
                return preference;
        }

        return _anywhere;
    }

    /// <summary>The matrix as JSON, in one line.</summary>
    public string ToJson()
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
            Write(json);
        return Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length);
    }

    /// <summary>Writes it as a JSON value.</summary>
    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        foreach (var (location, preference) in _rows)
        {
            json.WriteStartArray(location);
            foreach (var names in new[] { preference.Preferred, preference.Others })
            {
                json.WriteStartArray();
                foreach (string name in names)
                    json.WriteStringValue(name);
                json.WriteEndArray();
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    private static int Distance(GpuDevice gpu, NicDevice nic) =>
        gpu.Path.DistanceTo(nic.Path) ?? (gpu.NumaNode >= 0 && gpu.NumaNode == nic.NumaNode
            ? OtherBridge
            : OtherBridge * 2);

    private static DevicePreference Split(IReadOnlyList<NicDevice> nics, Func<NicDevice, bool> isPreferred) => new(
        [.. nics.Where(isPreferred).Select(nic => nic.Name)],
        [.. nics.Where(nic => !isPreferred(nic)).Select(nic => nic.Name)]);
}
