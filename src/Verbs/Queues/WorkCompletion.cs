// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Diagnostics;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Queues;

/// <summary>How a work request ended. One that is newer has its number.</summary>
internal enum WorkStatus
{
    Success = ibv_wc_status.IBV_WC_SUCCESS,
    LocalLengthError = ibv_wc_status.IBV_WC_LOC_LEN_ERR,
    LocalQueuePairError = ibv_wc_status.IBV_WC_LOC_QP_OP_ERR,

    /// <summary>A local piece lies outside its region, or its key is wrong.</summary>
    LocalProtectionError = ibv_wc_status.IBV_WC_LOC_PROT_ERR,

    /// <summary>The queue pair was in error before the request ran: it moved nothing, or only part.</summary>
    Flushed = ibv_wc_status.IBV_WC_WR_FLUSH_ERR,

    BadResponse = ibv_wc_status.IBV_WC_BAD_RESP_ERR,
    LocalAccessError = ibv_wc_status.IBV_WC_LOC_ACCESS_ERR,
    RemoteInvalidRequest = ibv_wc_status.IBV_WC_REM_INV_REQ_ERR,

    /// <summary>The peer's region does not allow it: a wrong key, a wrong range, or a right it does not give.</summary>
    RemoteAccessError = ibv_wc_status.IBV_WC_REM_ACCESS_ERR,

    RemoteOperationError = ibv_wc_status.IBV_WC_REM_OP_ERR,

    /// <summary>The peer did not answer, however often it was sent.</summary>
    RetriesExceeded = ibv_wc_status.IBV_WC_RETRY_EXC_ERR,

    ReceiverNotReady = ibv_wc_status.IBV_WC_RNR_RETRY_EXC_ERR,
    RemoteAborted = ibv_wc_status.IBV_WC_REM_ABORT_ERR,
    Fatal = ibv_wc_status.IBV_WC_FATAL_ERR,
    ResponseTimeout = ibv_wc_status.IBV_WC_RESP_TIMEOUT_ERR,
    General = ibv_wc_status.IBV_WC_GENERAL_ERR,
}

/// <summary>The end of a work request, as the device wrote it.</summary>
internal readonly struct WorkCompletion
{
    private readonly ibv_wc _native;

    internal WorkCompletion(in ibv_wc native) => _native = native;

    /// <summary>The number the request was posted with.</summary>
    internal ulong WorkId => _native.wr_id;

    /// <summary>How it ended.</summary>
    internal WorkStatus Status => (WorkStatus)_native.status;

    /// <summary>The queue pair it was posted to.</summary>
    internal uint QueuePairNumber => _native.qp_num;

    /// <summary>The vendor's own number for an error: for a log line, for nothing else.</summary>
    internal uint VendorError => _native.vendor_err;

    /// <summary>Bytes that an RDMA READ moved; undefined for a WRITE. Only on success.</summary>
    internal int Bytes
    {
        get
        {
            Debug.Assert(Status == WorkStatus.Success, "a failed request says nothing of its bytes");
            return (int)_native.byte_len;
        }
    }

    /// <summary>For a log line.</summary>
    public override string ToString() =>
        Status == WorkStatus.Success
            ? $"work {WorkId} of queue pair {QueuePairNumber}: success"
            : $"work {WorkId} of queue pair {QueuePairNumber}: {Status} ({(int)Status}), vendor error {VendorError:x}";
}
