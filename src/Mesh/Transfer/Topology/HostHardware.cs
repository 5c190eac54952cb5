// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Transfer.Topology;

/// <summary>An RDMA device of this host.</summary>
/// <param name="Name">"mlx5_0".</param>
/// <param name="NumaNode">NUMA node it is at; -1: not known.</param>
/// <param name="Path">Where it is on the PCI buses; a device made of software is nowhere.</param>
internal sealed record NicDevice(string Name, int NumaNode, PciPath Path);

/// <summary>A GPU of this host.</summary>
/// <param name="Index">Its number in the order of bus addresses: CUDA's with CUDA_DEVICE_ORDER=PCI_BUS_ID.</param>
/// <param name="NumaNode">NUMA node it is at; -1: not known.</param>
/// <param name="Path">Where it is on the PCI buses.</param>
internal sealed record GpuDevice(int Index, int NumaNode, PciPath Path);

/// <summary>What memory and devices a host has, as its kernel tells it.</summary>
/// <param name="Nics">RDMA devices, by name.</param>
/// <param name="Gpus">GPUs, by number.</param>
/// <param name="NumaNodes">Numbers of its NUMA nodes, at least one.</param>
internal sealed record HostHardware(
    IReadOnlyList<NicDevice> Nics, IReadOnlyList<GpuDevice> Gpus, IReadOnlyList<int> NumaNodes)
{
    /// <summary>These, with some of the RDMA devices alone.</summary>
    /// <param name="allow">Names of those to use; none: all.</param>
    /// <param name="deny">Names of those not to use, even if they are allowed.</param>
    /// <returns>An error with stage "config:devices" for a name that no device has.</returns>
    public MeshResult<HostHardware> With(IReadOnlyList<string> allow, IReadOnlyList<string> deny)
    {
        foreach (var (field, names) in new[] { ("allowDevices", allow), ("denyDevices", deny) })
        {
            foreach (string name in names)
            {
                if (!Nics.Any(nic => nic.Name == name))
                {
                    return new MeshError(MeshErrorCode.InvalidArgument, "config:devices",
                        $"{field} has '{name}', which is no RDMA device here; there are {NamesOf(Nics)}");
                }
            }
        }

        return this with
        {
            Nics = [.. Nics.Where(nic => (allow.Count == 0 || allow.Contains(nic.Name)) && !deny.Contains(nic.Name))],
        };
    }

    /// <summary>Names of devices for a person: "mlx5_0, mlx5_1", or "none".</summary>
    public static string NamesOf(IReadOnlyList<NicDevice> nics) =>
        nics.Count == 0 ? "none" : string.Join(", ", nics.Select(nic => nic.Name));
}
