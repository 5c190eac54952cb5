// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using System.Text.RegularExpressions;

namespace Mooncake.Mesh.Transfer.Topology;

/// <summary>Reads a matrix that a user wrote in place of what the hardware says.</summary>
internal static partial class TopologyParser
{
    private const string Form = """{"cpu:0":[["mlx5_0"],["mlx5_1"]]}""";

    /// <summary>Reads a matrix.</summary>
    /// <param name="text">JSON, as <see cref="TopologyMatrix.ToJson"/> writes it.</param>
    /// <param name="nics">Devices that may be named.</param>
    /// <returns>An error with stage "config:topology" that names the field, the value, and what is legal.</returns>
    public static MeshResult<TopologyMatrix> Parse(string text, IReadOnlyList<NicDevice> nics)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(text);
        }
        catch (JsonException e)
        {
            return Fault($"topology is no JSON, line {e.LineNumber + 1}: write {Form}");
        }

        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                return Fault($"topology is {Shown(document.RootElement)}: write {Form}");
            var rows = new List<(string, DevicePreference)>();
            foreach (var member in document.RootElement.EnumerateObject())
            {
                if (!Location().IsMatch(member.Name))
                    return Fault($"topology has '{member.Name}', which is no location: write cpu:N or cuda:N");
                if (rows.Exists(row => row.Item1 == member.Name))
                    return Fault($"topology has {member.Name} twice");
                var lists = Lists(member, nics);
                if (lists.Error is { } error)
                    return error;
                rows.Add((member.Name, lists.Value));
            }

            return rows.Count == 0 ? Fault($"topology is empty: write {Form}") : new TopologyMatrix(rows);
        }
    }

    private static MeshResult<DevicePreference> Lists(JsonProperty member, IReadOnlyList<NicDevice> nics)
    {
        string field = $"topology[{member.Name}]";
        if (member.Value.ValueKind != JsonValueKind.Array || member.Value.GetArrayLength() != 2)
            return Fault($"{field} is {Shown(member.Value)}: write two lists, preferred devices and others");
        var seen = new HashSet<string>();
        var lists = new List<string>[] { [], [] };
        for (int i = 0; i < 2; i++)
        {
            var list = member.Value[i];
            if (list.ValueKind != JsonValueKind.Array)
                return Fault($"{field}[{i}] is {Shown(list)}: write a list of device names");
            foreach (var item in list.EnumerateArray())
            {
                string? name = item.ValueKind == JsonValueKind.String ? item.GetString() : null;
                if (name is null)
                    return Fault($"{field}[{i}] has {Shown(item)}: write device names");
                if (!nics.Any(nic => nic.Name == name))
                {
                    return Fault($"{field}[{i}] has '{name}', which is no RDMA device here; there are "
                        + HostHardware.NamesOf(nics));
                }

                if (!seen.Add(name))
                    return Fault($"{field} has '{name}' twice");
                lists[i].Add(name);
            }
        }

        return new DevicePreference(lists[0], lists[1]);
    }

    private static string Shown(JsonElement value)
    {
        string text = value.GetRawText();
        return text.Length <= 40 ? text : text[..40] + "...";
    }

    private static MeshError Fault(string message) => new(MeshErrorCode.InvalidArgument, "config:topology", message);

    [GeneratedRegex("^(cpu|cuda):(0|[1-9][0-9]{0,3})$")]
    private static partial Regex Location();
}
