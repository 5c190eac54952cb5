// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>By what an engine may move bytes.</summary>
[Flags]
public enum TransferTransports
{
    /// <summary>Nothing but copies within the process.</summary>
    None = 0,

    /// <summary>Sockets.</summary>
    Tcp = 1,

    /// <summary>The kernel's copies between processes of this host (process_vm_readv, process_vm_writev).</summary>
    Cma = 2,

    /// <summary>Shared memory of the engine's allocator, between processes of this host.</summary>
    Shm = 4,

    /// <summary>RDMA cards, one-sided, all of them at once.</summary>
    Rdma = 8,

    /// <summary>All of these; cards where there are any.</summary>
    All = Tcp | Cma | Shm | Rdma,
}
