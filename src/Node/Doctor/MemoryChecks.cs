// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Whether a node gets its memory, and how. Pure.</summary>
internal static class MemoryChecks
{
    private const string MemlockFix =
        "systemd: LimitMEMLOCK=infinity; docker: --ulimit memlock=-1; a login: 'memlock unlimited' in "
        + "/etc/security/limits.d";

    /// <summary>Everything about memory.</summary>
    internal static IEnumerable<Finding> Of(HostFacts facts, Need need)
    {
        yield return Memory(facts, need);
        yield return Memlock(facts, need);
        yield return HugePages(facts, need);
        foreach (var finding in Numa(facts, need))
            yield return finding;
        yield return Ptrace(facts);
    }

    private static Finding Memory(HostFacts facts, Need need)
    {
        string text = $"{Size(facts.MemoryBytes)}; the segments need {Size(need.Bytes)}";
        return need.Bytes <= facts.MemoryBytes
            ? new Finding(FindingLevel.Ok, "memory", text)
            : new Finding(FindingLevel.Problem, "memory", text, "make the segments smaller");
    }

    /// <summary>What an RDMA device reads and writes is locked: on a host without one, nothing need be.</summary>
    private static Finding Memlock(HostFacts facts, Need need)
    {
        const string Subject = "memlock";
        if (facts.MemlockBytes is not { } limit)
            return new Finding(FindingLevel.Ok, Subject, "no limit of locked memory");
        string text = $"the limit of locked memory is {Size(limit)}; the segments need {Size(need.Bytes)}";
        if (limit >= need.Bytes)
            return new Finding(FindingLevel.Ok, Subject, text);
        if (facts.Hardware.Nics.Count == 0)
            return new Finding(FindingLevel.Ok, Subject, $"{text}, if there were an RDMA device");
        return facts.IgnoresMemlock
            ? new Finding(FindingLevel.Note, Subject, $"{text}; this user is above it, a service is not", MemlockFix)
            : new Finding(FindingLevel.Problem, Subject, text, MemlockFix);
    }

    private static Finding HugePages(HostFacts facts, Need need)
    {
        long page = MemoryBlock.HugePageSize;
        long pages = need.Segments.Where(segment => segment.HugePages).Sum(s => (s.Bytes + page - 1) / page);
        string text = $"{facts.FreeHugePages} of 2 MiB are free; the segments could use {pages}";
        return facts.FreeHugePages >= pages
            ? new Finding(FindingLevel.Ok, "huge pages", text)
            : new Finding(FindingLevel.Note, "huge pages", $"{text}, and use ordinary pages instead",
                $"sysctl vm.nr_hugepages={pages}");
    }

    private static IEnumerable<Finding> Numa(HostFacts facts, Need need)
    {
        int[] nodes = [.. facts.Hardware.NumaNodes];
        foreach (var (bytes, location, _) in need.Segments)
        {
            if (!nodes.Any(node => location == $"cpu:{node}"))
            {
                yield return new Finding(FindingLevel.Problem, "numa",
                    $"a segment of {Size(bytes)} is wanted at {location}; there are "
                    + string.Join(", ", nodes.Select(node => $"cpu:{node}")), "change the segment's location");
            }
        }

        string sizes = string.Join(", ", facts.NumaNodes.Select(node => $"cpu:{node.Number} {Size(node.MemoryBytes)}"));
        yield return new Finding(FindingLevel.Ok, "numa", sizes.Length == 0 ? "one node" : sizes);
        var unused = nodes.Where(node => need.Segments.All(segment => segment.Location != $"cpu:{node}")).ToArray();
        if (unused.Length > 0 && unused.Length < nodes.Length)
        {
            yield return new Finding(FindingLevel.Note, "numa",
                $"no segment is at {string.Join(", ", unused.Select(node => $"cpu:{node}"))}",
                "give each NUMA node a segment, so that memory and network cards of both sides are used");
        }
    }

    private static Finding Ptrace(HostFacts facts)
    {
        const string Subject = "ptrace";
        if (facts.PtraceScope is null or 0)
            return new Finding(FindingLevel.Ok, Subject, "processes of one user may read each other's memory");
        string text = $"kernel.yama.ptrace_scope is {facts.PtraceScope}: processes of one user may not read each "
            + "other's memory";
        return facts.IgnoresPtraceScope && facts.PtraceScope < 3
            ? new Finding(FindingLevel.Ok, Subject, $"{text}; this one may")
            : new Finding(FindingLevel.Note, Subject, $"{text}, so bytes that are not in a segment are copied twice",
                "sysctl kernel.yama.ptrace_scope=0, where the users of this host trust each other");
    }

    private static string Size(long bytes) => Quantity.Text(bytes);
}
