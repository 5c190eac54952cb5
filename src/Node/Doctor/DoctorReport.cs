// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using Mooncake.Mesh.Transfer.Topology;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>What is said of a host: findings, the GIDs to choose from, and which devices serve which memory.</summary>
internal sealed class DoctorReport
{
    private readonly HostFacts _facts;
    private readonly TopologyMatrix _matrix;

    /// <summary>Looks at everything.</summary>
    internal DoctorReport(HostFacts facts, Need need)
    {
        _facts = facts;
        _matrix = TopologyMatrix.Of(facts.Hardware);
        Findings =
        [
            .. MemoryChecks.Of(facts, need), .. RdmaChecks.Of(facts, need), .. GpuChecks.Of(facts),
            .. CudaChecks.Of(facts),
        ];
    }

    /// <summary>What was found.</summary>
    internal IReadOnlyList<Finding> Findings { get; }

    /// <summary>How many of them are problems.</summary>
    internal int Problems => Findings.Count(finding => finding.Level == FindingLevel.Problem);

    /// <summary>The report for a person.</summary>
    internal IEnumerable<string> Lines()
    {
        foreach (var finding in Findings)
        {
            yield return $"{NameOf(finding.Level),-8} {finding.Subject,-15} {finding.Text}";
            if (finding.Fix is { } fix)
                yield return $"{"",-8} {"",-15} fix: {fix}";
        }

        foreach (var device in _facts.Rdma)
        {
            foreach (var port in device.Ports)
            {
                int chosen = ChosenOf(port);
                foreach (var gid in port.Gids)
                {
                    yield return $"{"gid",-8} {$"{device.Name} port {port.Number}",-15} {gid.Index,3} "
                        + $"{NameOf(gid.Type),-10} {gid.Address}{(gid.Index == chosen ? "  <- used" : "")}";
                }
            }
        }

        foreach (var (location, preference) in _facts.Rdma.Count == 0 ? [] : _matrix.Rows)
        {
            yield return $"{"rails",-8} {location,-15} {Joined(preference.Preferred)}; then "
                + Joined(preference.Others);
        }

        yield return Problems == 0 ? "no problems" : $"{Problems} problem{(Problems == 1 ? "" : "s")}";
    }

    /// <summary>Writes the report as the fields of a JSON object.</summary>
    internal void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("problems", Problems);
        json.WriteStartArray("findings");
        foreach (var finding in Findings)
        {
            json.WriteStartObject();
            json.WriteString("level", NameOf(finding.Level));
            json.WriteString("subject", finding.Subject);
            json.WriteString("text", finding.Text);
            json.WriteString("fix", finding.Fix);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("ports");
        foreach (var device in _facts.Rdma)
        {
            foreach (var port in device.Ports)
                Write(json, device, port);
        }

        json.WriteEndArray();
        json.WritePropertyName("topology");
        _matrix.Write(json);
    }

    private void Write(Utf8JsonWriter json, RdmaFacts device, PortFacts port)
    {
        json.WriteStartObject();
        json.WriteString("device", device.Name);
        json.WriteNumber("port", port.Number);
        json.WriteString("state", port.State);
        if (ChosenOf(port) is >= 0 and var chosen)
            json.WriteNumber("gid", chosen);
        json.WriteStartArray("gids");
        foreach (var gid in port.Gids)
        {
            json.WriteStartObject();
            json.WriteNumber("index", gid.Index);
            json.WriteString("type", NameOf(gid.Type));
            json.WriteString("address", gid.Address.ToString());
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Index of the GID that a port is used by; -1: it is not used.</summary>
    private int ChosenOf(PortFacts port)
    {
        if (!port.IsActive)
            return -1;
        var choice = RdmaChecks.ChoiceOf(port, _facts);
        return choice.Succeeded ? choice.Value.Gid.Index : -1;
    }

    private static string NameOf(FindingLevel level) => level switch
    {
        FindingLevel.Ok => "ok",
        FindingLevel.Note => "note",
        _ => "problem",
    };

    private static string NameOf(GidType type) => type switch
    {
        GidType.InfiniBand => "InfiniBand",
        GidType.RoceV1 => "RoCE v1",
        _ => "RoCE v2",
    };

    private static string Joined(IReadOnlyList<string> names) => names.Count == 0 ? "none" : string.Join(", ", names);
}
