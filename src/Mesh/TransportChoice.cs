// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh;

/// <summary>By what bytes travel that are too large for a control frame.</summary>
public enum TransportChoice
{
    /// <summary>The best that reaches the other end: shared memory on one host, else RDMA, else tcp.</summary>
    Auto = 0,

    /// <summary>tcp alone.</summary>
    Tcp = 1,

    /// <summary>Shared memory alone: nodes of this host.</summary>
    Shm = 2,

    /// <summary>RDMA alone, also with nodes of this host.</summary>
    Rdma = 3,
}
