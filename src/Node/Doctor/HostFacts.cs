// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Topology;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>What a host tells of itself, as far as a node's speed depends on it. Immutable.</summary>
internal sealed record HostFacts
{
    /// <summary>Bytes of memory this process may lock; null: without limit.</summary>
    public long? MemlockBytes { get; init; }

    /// <summary>Whether this process is above that limit (CAP_IPC_LOCK), as root is and a service is not.</summary>
    public bool IgnoresMemlock { get; init; }

    /// <summary>Bytes of memory that the host has.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>Huge pages of 2 MiB that are set aside and free.</summary>
    public long FreeHugePages { get; init; }

    /// <summary>NUMA nodes, by number.</summary>
    public IReadOnlyList<NumaFacts> NumaNodes { get; init; } = [];

    /// <summary>The kernel's kernel.yama.ptrace_scope; null: it has none.</summary>
    public int? PtraceScope { get; init; }

    /// <summary>Whether this process may look into others whatever that says (CAP_SYS_PTRACE).</summary>
    public bool IgnoresPtraceScope { get; init; }

    /// <summary>Release of the kernel: "6.1.0-28-amd64".</summary>
    public string KernelRelease { get; init; } = "";

    /// <summary>Whether nvidia_peermem is loaded, which lets RDMA devices read and write the memory of GPUs.</summary>
    public bool HasPeerMemory { get; init; }

    /// <summary>Whether the NVIDIA driver is the open one, which alone offers its memory as dma-buf.</summary>
    public bool HasOpenGpuDriver { get; init; }

    /// <summary>RDMA devices and GPUs, and where they are.</summary>
    public HostHardware Hardware { get; init; } = new([], [], [0]);

    /// <summary>The RDMA devices once more, with what a node needs of each.</summary>
    public IReadOnlyList<RdmaFacts> Rdma { get; init; } = [];

    /// <summary>Addresses of its interfaces; none: not known.</summary>
    public IReadOnlyList<LocalAddress> Locals { get; init; } = [];

    /// <summary>What libibverbs says.</summary>
    public VerbsFacts Verbs { get; init; } = new(null, new Dictionary<string, long>());

    /// <summary>What the CUDA driver says.</summary>
    public CudaFacts Cuda { get; init; } = new("no library: not looked for", "", []);
}

/// <summary>A NUMA node.</summary>
/// <param name="Number">Its number.</param>
/// <param name="MemoryBytes">Memory that it has.</param>
internal sealed record NumaFacts(int Number, long MemoryBytes);

/// <summary>What libibverbs says of this host.</summary>
/// <param name="NotSupportedReason">Why it cannot be used; null: it can.</param>
/// <param name="MaxMemoryRegion">
/// Longest memory region of each device, in bytes, by its name; a device is left out that did not say.
/// </param>
internal sealed record VerbsFacts(string? NotSupportedReason, IReadOnlyDictionary<string, long> MaxMemoryRegion);
