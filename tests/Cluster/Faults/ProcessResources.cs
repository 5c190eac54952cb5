// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>What a process has of the machine: memory that is its own, in MiB, and counts.</summary>
internal sealed record ProcessResources(int MemoryMiB, int Threads, int Sockets, int Descriptors, int Mappings)
{
    /// <summary>
    /// What may remain: pages and arenas that the runtime keeps, threads of its pool, and a few connections between
    /// nodes, which are made on demand.
    /// </summary>
    private static readonly ProcessResources Tolerance = new(64, 12, 16, 24, 160);

    public static ProcessResources Of(int pid)
    {
        string[] status = File.ReadAllLines($"/proc/{pid}/status");
        string[] descriptors = System.IO.Directory.GetFiles($"/proc/{pid}/fd");
        int Value(string name) => int.Parse(status.First(l => l.StartsWith(name, StringComparison.Ordinal))
            .Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
        return new ProcessResources(Value("RssAnon:") / 1024, Value("Threads:"),
            descriptors.Count(d => TargetOf(d).StartsWith("socket:", StringComparison.Ordinal)), descriptors.Length,
            File.ReadLines($"/proc/{pid}/maps").Count());
    }

    /// <summary>The greater of each.</summary>
    public ProcessResources Or(ProcessResources other) => new(Math.Max(MemoryMiB, other.MemoryMiB),
        Math.Max(Threads, other.Threads), Math.Max(Sockets, other.Sockets), Math.Max(Descriptors, other.Descriptors),
        Math.Max(Mappings, other.Mappings));

    /// <summary>Whether none is more than tolerated above the baseline.</summary>
    public bool IsBackAt(ProcessResources baseline) => MemoryMiB <= baseline.MemoryMiB + Tolerance.MemoryMiB
        && Threads <= baseline.Threads + Tolerance.Threads && Sockets <= baseline.Sockets + Tolerance.Sockets
        && Descriptors <= baseline.Descriptors + Tolerance.Descriptors
        && Mappings <= baseline.Mappings + Tolerance.Mappings;

    /// <inheritdoc/>
    public override string ToString() =>
        $"{MemoryMiB} MiB, {Threads} threads, {Sockets} sockets, {Descriptors} descriptors, {Mappings} mappings";

    private static string TargetOf(string path)
    {
        try
        {
            return new FileInfo(path).LinkTarget ?? "";
        }
        catch (IOException)
        {
            return "";
        }
    }
}
