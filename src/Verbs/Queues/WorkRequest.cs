// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Queues;

/// <summary>What a work request does.</summary>
internal enum WorkKind
{
    /// <summary>Copies local pieces into the peer's memory.</summary>
    Write = ibv_wr_opcode.IBV_WR_RDMA_WRITE,

    /// <summary>Copies the peer's memory into local pieces.</summary>
    Read = ibv_wr_opcode.IBV_WR_RDMA_READ,
}

/// <summary>How a work request is treated.</summary>
[Flags]
internal enum WorkFlags : uint
{
    /// <summary>
    /// Its success is not reported: a later, signaled one stands for it. A failure always is. The queue must get a
    /// signaled one at least once per send depth.
    /// </summary>
    None = 0,

    /// <summary>Its success is reported.</summary>
    Signaled = ibv_send_flags.IBV_SEND_SIGNALED,

    /// <summary>
    /// A WRITE whose bytes are copied while it is posted: the pieces need no key, and their memory is free at once. At
    /// most <see cref="QueuePair.InlineBytes"/>.
    /// </summary>
    Inline = ibv_send_flags.IBV_SEND_INLINE,
}

/// <summary>Local memory that a work request takes from or fills.</summary>
internal readonly struct LocalPiece
{
    private readonly ibv_sge _native;

    /// <param name="address">Its first byte.</param>
    /// <param name="length">In bytes, not 0: to some devices that means 2 GiB.</param>
    /// <param name="localKey">The local key of the region it lies in.</param>
    internal LocalPiece(ulong address, int length, uint localKey)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        _native = new ibv_sge { addr = address, length = (uint)length, lkey = localKey };
    }

    internal ulong Address => _native.addr;

    internal int Length => (int)_native.length;

    internal uint LocalKey => _native.lkey;
}

/// <summary>
/// One RDMA READ or WRITE. Its bytes lie in one place at the peer; here in <see cref="Local"/>, or scattered over a run
/// of the pieces that are posted with it. Fields, as lists of these are filled in place and read where they lie.
/// </summary>
internal struct WorkRequest
{
    /// <summary>Comes back in its completion.</summary>
    internal ulong WorkId;

    /// <summary>Where it starts in the peer's memory.</summary>
    internal ulong RemoteAddress;

    /// <summary>The remote key of the peer's region.</summary>
    internal uint RemoteKey;

    /// <summary>READ or WRITE.</summary>
    internal WorkKind Kind;

    /// <summary>How it is treated.</summary>
    internal WorkFlags Flags;

    /// <summary>How many pieces it has; 0: it has the one in <see cref="Local"/>.</summary>
    internal int PieceCount;

    /// <summary>The first of its pieces.</summary>
    internal int FirstPiece;

    /// <summary>Its only piece, when <see cref="PieceCount"/> is 0.</summary>
    internal LocalPiece Local;
}
