// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using System.Text.Json;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>What a figure was measured on.</summary>
internal sealed record Machine(string Cpu, string Kernel, int Cores, string Version, string Runtime)
{
    /// <summary>This machine.</summary>
    internal static Machine Here() => new(CpuName(), File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
        Environment.ProcessorCount, VersionCommand.Version, RuntimeInformation.FrameworkDescription);

    /// <summary>Writes it as fields of a row.</summary>
    internal void Write(Utf8JsonWriter json)
    {
        json.WriteString("cpu", Cpu);
        json.WriteString("kernel", Kernel);
        json.WriteNumber("cores", Cores);
        json.WriteString("version", Version);
        json.WriteString("runtime", Runtime);
    }

    private static string CpuName()
    {
        foreach (string line in File.ReadLines("/proc/cpuinfo"))
        {
            if (line.StartsWith("model name", StringComparison.Ordinal))
                return line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
        }

        return RuntimeInformation.ProcessArchitecture.ToString();
    }
}
