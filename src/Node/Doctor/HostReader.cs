// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using Mooncake.Mesh.Transfer.Topology;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Gathers the facts of a host from its kernel's files.</summary>
internal static class HostReader
{
    private const int CapabilityIpcLock = 14;
    private const int CapabilityPtrace = 19;

    /// <summary>Gathers them.</summary>
    /// <param name="root">"/", or a folder with proc, sys and dev in it.</param>
    /// <param name="locals">Addresses of its interfaces.</param>
    /// <param name="verbs">What libibverbs says.</param>
    internal static HostFacts Read(string root, IReadOnlyList<LocalAddress> locals, VerbsFacts verbs)
    {
        var files = new HostFiles(root);
        var hardware = new SysfsReader(Path.Combine(root, "sys")).Read();
        string[] limits = files.Line("proc/self/limits", "Max locked memory");
        return new HostFacts
        {
            MemlockBytes = limits is [var soft, ..] && Parse(soft) is { } bytes ? bytes : null,
            IgnoresMemlock = HasCapability(files, CapabilityIpcLock),
            MemoryBytes = KiB(files.Line("proc/meminfo", "MemTotal:")),
            FreeHugePages = files.Number("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") ?? 0,
            NumaNodes = NumaNodes(files),
            PtraceScope = (int?)files.Number("proc/sys/kernel/yama/ptrace_scope"),
            IgnoresPtraceScope = HasCapability(files, CapabilityPtrace),
            KernelRelease = files.Text("proc/sys/kernel/osrelease"),
            HasPeerMemory = files.Exists("sys/module/nvidia_peermem"),
            HasOpenGpuDriver = files.Text("proc/driver/nvidia/version").Contains("Open Kernel Module"),
            Hardware = hardware,
            Rdma = RdmaReader.Read(files, hardware.Nics.Select(nic => nic.Name)),
            Locals = locals,
            Verbs = verbs,
        };
    }

    private static NumaFacts[] NumaNodes(HostFiles files) =>
    [
        .. files.Names("sys/devices/system/node")
            .Where(name => name.StartsWith("node", StringComparison.Ordinal) && Parse(name[4..]) is not null)
            .Select(name => new NumaFacts((int)Parse(name[4..])!,
                KiB(files.Line($"sys/devices/system/node/{name}/meminfo", "MemTotal:"))))
            .OrderBy(node => node.Number),
    ];

    private static bool HasCapability(HostFiles files, int capability) =>
        files.Line("proc/self/status", "CapEff:") is [var hex]
        && ulong.TryParse(hex, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong set)
        && (set >> capability & 1) == 1;

    private static long KiB(string[] words) => words is [var number, ..] ? (Parse(number) ?? 0) * 1024 : 0;

    private static long? Parse(string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : null;
}
