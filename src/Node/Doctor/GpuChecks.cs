// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Whether RDMA devices reach the memory of the GPUs. Pure.</summary>
internal static class GpuChecks
{
    /// <summary>The first kernel that registers a dma-buf with RDMA devices.</summary>
    private static readonly Version FirstWithDmaBuf = new(5, 12);

    /// <summary>Everything about GPUs.</summary>
    internal static IEnumerable<Finding> Of(HostFacts facts)
    {
        int count = facts.Hardware.Gpus.Count;
        if (count == 0)
        {
            yield return new Finding(FindingLevel.Note, "gpu", "this host has no NVIDIA GPU");
            yield break;
        }

        string found = $"{count} GPU{(count == 1 ? "" : "s")}";
        if (facts.Hardware.Nics.Count == 0)
        {
            yield return new Finding(FindingLevel.Note, "gpu", $"{found}, and no RDMA device to reach their memory");
            yield break;
        }

        bool dmaBuf = facts.HasOpenGpuDriver && KernelOf(facts.KernelRelease) >= FirstWithDmaBuf;
        if (dmaBuf || facts.HasPeerMemory)
        {
            yield return new Finding(FindingLevel.Ok, "gpu",
                $"{found}; RDMA devices reach their memory by {(dmaBuf ? "dma-buf" : "nvidia_peermem")}");
            yield break;
        }

        yield return new Finding(FindingLevel.Problem, "gpu",
            $"{found}; RDMA devices do not reach their memory: nvidia_peermem is not loaded, and dma-buf needs Linux "
            + $"{FirstWithDmaBuf} (this is {facts.KernelRelease}) and the open GPU driver "
            + $"(this {(facts.HasOpenGpuDriver ? "is it" : "is not it")})",
            "modprobe nvidia_peermem; until then values go through the host's memory");
    }

    private static Version KernelOf(string release)
    {
        string[] parts = release.Split('.', '-', '+');
        return parts.Length >= 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor)
                ? new Version(major, minor)
                : new Version(0, 0);
    }
}
