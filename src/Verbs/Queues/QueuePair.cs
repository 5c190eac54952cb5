// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Queues;

/// <summary>Where a queue pair is in its life.</summary>
internal enum QueuePairState
{
    Reset = ibv_qp_state.IBV_QPS_RESET,
    Initialized = ibv_qp_state.IBV_QPS_INIT,
    ReadyToReceive = ibv_qp_state.IBV_QPS_RTR,
    ReadyToSend = ibv_qp_state.IBV_QPS_RTS,
    Draining = ibv_qp_state.IBV_QPS_SQD,
    SendError = ibv_qp_state.IBV_QPS_SQE,
    Error = ibv_qp_state.IBV_QPS_ERR,
    Unknown = ibv_qp_state.IBV_QPS_UNKNOWN,
}

/// <summary>
/// A reliable connected queue pair: RDMA READ and WRITE to one peer. One in error is not mended but replaced. One
/// thread uses it at a time.
/// </summary>
internal sealed unsafe class QueuePair : IDisposable
{
    /// <summary>Requests handed to the device at once: as many share one doorbell.</summary>
    internal const int ChainLength = 64;

    /// <summary>The most retries that end: in one driver seven means for ever.</summary>
    internal const byte MaxRetries = 6;

    private readonly delegate* unmanaged[Cdecl]<ibv_qp*, ibv_send_wr*, ibv_send_wr**, int> _postSend;
    private readonly IbverbsLibrary _library;
    private readonly VerbsHandle _handle;
    private ibv_send_wr* _chain;
    private ibv_qp* _native;
    private byte _port;

    private QueuePair(IbverbsLibrary library, VerbsHandle handle, in ibv_qp_cap given)
    {
        _library = library;
        _handle = handle;
        _native = (ibv_qp*)handle.Native;
        _postSend = _native->context->ops.post_send;
        _chain = (ibv_send_wr*)NativeMemory.AllocZeroed(ChainLength, (nuint)sizeof(ibv_send_wr));
        Number = _native->qp_num;
        SendDepth = (int)given.max_send_wr;
        MaxPieces = (int)given.max_send_sge;
        InlineBytes = (int)given.max_inline_data;
    }

    /// <summary>Frees the scratch memory of one that was dropped; the handle frees the rest.</summary>
    ~QueuePair() => NativeMemory.Free(_chain);

    /// <summary>Its number on this device: what the peer's packets are addressed to.</summary>
    internal uint Number { get; }

    /// <summary>Work requests outstanding at once: what was asked for, or more.</summary>
    internal int SendDepth { get; }

    /// <summary>Local pieces of one work request: what was asked for, or more.</summary>
    internal int MaxPieces { get; }

    /// <summary>Bytes of an inline WRITE: what was wanted, or more, or fewer; 0 for a device without.</summary>
    internal int InlineBytes { get; }

    /// <summary>
    /// Ends the queue pair. Afterwards the device touches no memory for its sake any more, whatever was outstanding;
    /// the completions of that are lost. No other call may be under way. Never throws.
    /// </summary>
    public void Dispose()
    {
        _native = null;
        _handle.Dispose();
        NativeMemory.Free(_chain);
        _chain = null;
        GC.SuppressFinalize(this);
    }

    /// <summary>First step: binds it to a port and says what the peer may do through it.</summary>
    /// <param name="port">From 1.</param>
    /// <param name="pkeyIndex">The row of the port's partition table, usually 0.</param>
    /// <param name="access">RemoteRead and RemoteWrite, or neither; regions must allow it too.</param>
    /// <exception cref="VerbsException">Refused.</exception>
    internal void Initialize(byte port, ushort pkeyIndex, MemoryAccess access)
    {
        _port = port;
        var attr = new ibv_qp_attr
        {
            qp_state = ibv_qp_state.IBV_QPS_INIT,
            pkey_index = pkeyIndex,
            port_num = port,
            qp_access_flags = (uint)(access & (MemoryAccess.RemoteRead | MemoryAccess.RemoteWrite)),
        };
        Modify(
            attr,
            ibv_qp_attr_mask.IBV_QP_STATE | ibv_qp_attr_mask.IBV_QP_PKEY_INDEX | ibv_qp_attr_mask.IBV_QP_PORT
            | ibv_qp_attr_mask.IBV_QP_ACCESS_FLAGS);
    }

    /// <summary>Second step: connects it to the peer's and answers what comes from there.</summary>
    /// <exception cref="VerbsException">Refused: ENETUNREACH while the link is down.</exception>
    internal void ReadyToReceive(in RemoteQueuePair remote, in PathSettings path)
    {
        var attr = new ibv_qp_attr
        {
            qp_state = ibv_qp_state.IBV_QPS_RTR,
            path_mtu = PathMtu.Native(path.Mtu),
            rq_psn = remote.Psn,
            dest_qp_num = remote.Number,
            max_dest_rd_atomic = path.MaxRdAtomic,
            min_rnr_timer = path.MinRnrTimer,
        };
        attr.ah_attr.port_num = _port;
        attr.ah_attr.dlid = remote.Lid;
        attr.ah_attr.sl = path.ServiceLevel;
        if (path.Global)
        {
            attr.ah_attr.is_global = 1;
            remote.Gid.CopyTo(new Span<byte>(attr.ah_attr.grh.dgid.raw, Gid.Size));
            attr.ah_attr.grh.sgid_index = path.GidIndex;
            attr.ah_attr.grh.hop_limit = path.HopLimit;
            attr.ah_attr.grh.traffic_class = path.TrafficClass;
        }

        Modify(
            attr,
            ibv_qp_attr_mask.IBV_QP_STATE | ibv_qp_attr_mask.IBV_QP_AV | ibv_qp_attr_mask.IBV_QP_PATH_MTU
            | ibv_qp_attr_mask.IBV_QP_DEST_QPN | ibv_qp_attr_mask.IBV_QP_RQ_PSN
            | ibv_qp_attr_mask.IBV_QP_MAX_DEST_RD_ATOMIC | ibv_qp_attr_mask.IBV_QP_MIN_RNR_TIMER);
    }

    /// <summary>Third step: lets it send.</summary>
    /// <param name="psn">The packet sequence number to start with, as the peer was told: 24 bits.</param>
    /// <param name="timeout">
    /// How long an answer is waited for: 4.096 us x 2^timeout, 1 to 31. A peer that is gone is noticed after that times
    /// (retries + 1), or several times later on some devices.
    /// </param>
    /// <param name="retryCount">How often a request is sent again, at most <see cref="MaxRetries"/>.</param>
    /// <param name="rnrRetry">How often one is sent again that met no receive; 7: for ever.</param>
    /// <param name="maxRdAtomic">READs under way at once, at most the device's MaxInitRdAtomic.</param>
    /// <exception cref="VerbsException">Refused.</exception>
    internal void ReadyToSend(uint psn, byte timeout, byte retryCount, byte rnrRetry, byte maxRdAtomic)
    {
        ArgumentOutOfRangeException.ThrowIfZero(timeout);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(timeout, (byte)31);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(retryCount, MaxRetries);
        var attr = new ibv_qp_attr
        {
            qp_state = ibv_qp_state.IBV_QPS_RTS,
            sq_psn = psn,
            timeout = timeout,
            retry_cnt = retryCount,
            rnr_retry = rnrRetry,
            max_rd_atomic = maxRdAtomic,
        };
        Modify(
            attr,
            ibv_qp_attr_mask.IBV_QP_STATE | ibv_qp_attr_mask.IBV_QP_SQ_PSN | ibv_qp_attr_mask.IBV_QP_TIMEOUT
            | ibv_qp_attr_mask.IBV_QP_RETRY_CNT | ibv_qp_attr_mask.IBV_QP_RNR_RETRY
            | ibv_qp_attr_mask.IBV_QP_MAX_QP_RD_ATOMIC);
    }

    /// <summary>
    /// Puts it in error: what is outstanding ends, each request with a completion of its own, mostly
    /// <see cref="WorkStatus.Flushed"/>. Once those have been polled nothing of it lands any more. An unsignaled
    /// request that had succeeded by then reports nothing: post one more afterwards, signaled, for which there must be
    /// room, and its completion is the last.
    /// </summary>
    /// <exception cref="VerbsException">Refused, as by a device that is gone: then only Dispose ends it.</exception>
    internal void Fail() =>
        Modify(new ibv_qp_attr { qp_state = ibv_qp_state.IBV_QPS_ERR }, ibv_qp_attr_mask.IBV_QP_STATE);

    /// <summary>Its state as the device has it: a call into the kernel.</summary>
    /// <exception cref="VerbsException">The device is gone.</exception>
    internal QueuePairState State()
    {
        ibv_qp_attr attr = default;
        ibv_qp_init_attr init = default;
        int result = _library.ibv_query_qp(Living(), &attr, (int)ibv_qp_attr_mask.IBV_QP_STATE, &init);
        GC.KeepAlive(this);
        VerbsException.ThrowIfFailed(result, "ibv_query_qp");
        return (QueuePairState)attr.qp_state;
    }

    /// <summary>Posts requests that have one local piece each.</summary>
    /// <inheritdoc cref="Post(ReadOnlySpan{WorkRequest}, ReadOnlySpan{LocalPiece}, out int)"/>
    internal int Post(ReadOnlySpan<WorkRequest> requests, out int errno) => Post(requests, default, out errno);

    /// <summary>Hands requests to the device, in order. Nothing is kept of either list.</summary>
    /// <param name="requests">What to do.</param>
    /// <param name="pieces">The local pieces that the requests name.</param>
    /// <param name="errno">
    /// 0, or why the next one was not taken: ENOMEM when the queue is full, EINVAL for one with too many pieces or too
    /// many bytes inline. When all were taken and this is not 0 the device could not be told of them: they are
    /// outstanding until the queue pair is in error and flushed, or disposed.
    /// </param>
    /// <returns>How many were taken: those, and no others, are outstanding.</returns>
    internal int Post(ReadOnlySpan<WorkRequest> requests, ReadOnlySpan<LocalPiece> pieces, out int errno)
    {
        ibv_qp* native = Living();
        CheckPieces(requests, pieces.Length);
        int taken = 0;
        errno = 0;
        fixed (WorkRequest* firstRequest = requests)
        fixed (LocalPiece* firstPiece = pieces)
        {
            while (taken < requests.Length && errno == 0)
            {
                int count = Math.Min(requests.Length - taken, ChainLength);
                Fill(firstRequest + taken, (ibv_sge*)firstPiece, count);
                ibv_send_wr* refused = null;
                int result = _postSend(native, _chain, &refused);
                errno = VerbsException.NumberOf(result);
                taken += result == 0 || refused is null ? count : (int)(refused - _chain);
            }
        }

        GC.KeepAlive(this);
        return taken;
    }

    internal static QueuePair Create(
        IbverbsLibrary library, VerbsHandle domain, CompletionQueue completions, VerbsCounts counts,
        in QueuePairShape shape)
    {
        var handle = new VerbsHandle(library.ibv_destroy_qp, counts, domain, completions.Handle);
        int inlineBytes = shape.InlineBytes;
        while (true)
        {
            var attr = new ibv_qp_init_attr
            {
                send_cq = (ibv_cq*)completions.Handle.Native,
                recv_cq = (ibv_cq*)completions.Handle.Native,
                qp_type = ibv_qp_type.IBV_QPT_RC,
                cap = new ibv_qp_cap
                {
                    max_send_wr = (uint)shape.SendDepth,
                    max_send_sge = (uint)shape.MaxPieces,
                    max_inline_data = (uint)inlineBytes,

                    // Nothing is received, but a queue of none is an edge that drivers need not have tried.
                    max_recv_wr = 1,
                    max_recv_sge = 1,
                },
            };
            ibv_qp* native = library.ibv_create_qp((ibv_pd*)domain.Native, &attr);
            if (native is not null)
            {
                handle.Adopt(native);
                return new QueuePair(library, handle, attr.cap);
            }

            int errno = Marshal.GetLastSystemError();
            if (errno == VerbsException.Invalid && inlineBytes > 0)
            {
                // How many bytes a device takes inline depends on the other sizes, and it does not say: halve to 0.
                inlineBytes /= 2;
                continue;
            }

            handle.Dispose();
            throw VerbsException.ForLockedMemory(errno, "ibv_create_qp", null);
        }
    }

    private static void CheckPieces(ReadOnlySpan<WorkRequest> requests, int pieces)
    {
        foreach (ref readonly WorkRequest request in requests)
        {
            if ((uint)request.FirstPiece > (uint)pieces
                || (uint)request.PieceCount > (uint)(pieces - request.FirstPiece))
            {
                throw new ArgumentException("a request names pieces that were not given", nameof(requests));
            }
        }
    }

    private void Fill(WorkRequest* requests, ibv_sge* pieces, int count)
    {
        for (int i = 0; i < count; i++)
        {
            WorkRequest* request = requests + i;
            ibv_send_wr* native = _chain + i;
            bool single = request->PieceCount == 0;
            native->wr_id = request->WorkId;
            native->next = i + 1 < count ? native + 1 : null;
            native->sg_list = single ? (ibv_sge*)&request->Local : pieces + request->FirstPiece;
            native->num_sge = single ? 1 : request->PieceCount;
            native->opcode = (ibv_wr_opcode)request->Kind;
            native->send_flags = (ibv_send_flags)request->Flags;
            native->remote_addr = request->RemoteAddress;
            native->rkey = request->RemoteKey;
        }
    }

    private void Modify(in ibv_qp_attr attr, ibv_qp_attr_mask mask)
    {
        fixed (ibv_qp_attr* native = &attr)
        {
            int result = _library.ibv_modify_qp(Living(), native, (int)mask);
            GC.KeepAlive(this);
            VerbsException.ThrowIfFailed(result, "ibv_modify_qp", $"to {attr.qp_state}");
        }
    }

    private ibv_qp* Living()
    {
        ibv_qp* native = _native;
        ObjectDisposedException.ThrowIf(native is null, this);
        return native;
    }
}
