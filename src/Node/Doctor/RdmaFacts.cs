// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Whether a process can reach a device.</summary>
internal enum DeviceAccess
{
    /// <summary>Its file opens.</summary>
    Opens,

    /// <summary>There is no such file, as in a container that was not given it.</summary>
    Missing,

    /// <summary>The file is there, and opening it is refused.</summary>
    Refused,

    /// <summary>The kernel has made no file for it: ib_uverbs is not loaded.</summary>
    NoDriver,
}

/// <summary>An RDMA device.</summary>
/// <param name="Name">"mlx5_0".</param>
/// <param name="File">"/dev/infiniband/uverbs0"; empty: the kernel has made none.</param>
/// <param name="Access">Whether this process can reach it.</param>
/// <param name="Ports">Its ports.</param>
internal sealed record RdmaFacts(string Name, string File, DeviceAccess Access, IReadOnlyList<PortFacts> Ports);

/// <summary>A port of an RDMA device.</summary>
/// <param name="Number">Its number, from 1.</param>
/// <param name="State">"ACTIVE", "DOWN", ...</param>
/// <param name="IsInfiniBand">Whether its link is InfiniBand and not Ethernet.</param>
/// <param name="GidLength">Entries of its GID table.</param>
/// <param name="Gids">Those that are filled.</param>
/// <param name="Interface">Network interface of its first GID; empty: none.</param>
/// <param name="InterfaceMtu">That interface's MTU, in bytes; 0: not known.</param>
internal sealed record PortFacts(int Number, string State, bool IsInfiniBand, int GidLength,
    IReadOnlyList<GidCandidate> Gids, string Interface, int InterfaceMtu)
{
    /// <summary>Whether bytes can go over it.</summary>
    public bool IsActive => State == "ACTIVE";
}
