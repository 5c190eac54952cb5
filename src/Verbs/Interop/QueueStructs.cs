// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

// infiniband/verbs.h of rdma-core 44: queues, and the work that goes through them. Structs that end in the library's
// own locks are declared up to them.
#pragma warning disable CS8981 // the native names are lower-case

namespace Mooncake.Mesh.Verbs.Interop;

/// <summary>A completion channel.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_comp_channel
{
    public ibv_context* context;
    public int fd;
    public int refcnt;
}

/// <summary>A completion queue, up to its lock.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_cq
{
    public ibv_context* context;
    public ibv_comp_channel* channel;
    public void* cq_context;
    public uint handle;
    public int cqe;
}

/// <summary>A queue pair, up to its lock.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_qp
{
    public ibv_context* context;
    public void* qp_context;
    public ibv_pd* pd;
    public ibv_cq* send_cq;
    public ibv_cq* recv_cq;
    public void* srq;
    public uint handle;
    public uint qp_num;
    public ibv_qp_state state;
    public ibv_qp_type qp_type;
}

/// <summary>Room in a queue pair: asked for, then written back as given.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_qp_cap
{
    public uint max_send_wr;
    public uint max_recv_wr;
    public uint max_send_sge;
    public uint max_recv_sge;
    public uint max_inline_data;
}

/// <summary>What ibv_create_qp is given.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_qp_init_attr
{
    public void* qp_context;
    public ibv_cq* send_cq;
    public ibv_cq* recv_cq;
    public void* srq;
    public ibv_qp_cap cap;
    public ibv_qp_type qp_type;
    public int sq_sig_all;
}

/// <summary>The GRH of a path.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_global_route
{
    public ibv_gid dgid;
    public uint flow_label;
    public byte sgid_index;
    public byte hop_limit;
    public byte traffic_class;
}

/// <summary>A path to a port.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_ah_attr
{
    public ibv_global_route grh;
    public ushort dlid;
    public byte sl;
    public byte src_path_bits;
    public byte static_rate;
    public byte is_global;
    public byte port_num;
}

/// <summary>What ibv_modify_qp sets and ibv_query_qp reads, as far as the mask says.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_qp_attr
{
    public ibv_qp_state qp_state;
    public ibv_qp_state cur_qp_state;
    public ibv_mtu path_mtu;
    public int path_mig_state;
    public uint qkey;
    public uint rq_psn;
    public uint sq_psn;
    public uint dest_qp_num;
    public uint qp_access_flags;
    public ibv_qp_cap cap;
    public ibv_ah_attr ah_attr;
    public ibv_ah_attr alt_ah_attr;
    public ushort pkey_index;
    public ushort alt_pkey_index;
    public byte en_sqd_async_notify;
    public byte sq_draining;
    public byte max_rd_atomic;
    public byte max_dest_rd_atomic;
    public byte min_rnr_timer;
    public byte port_num;
    public byte timeout;
    public byte retry_cnt;
    public byte rnr_retry;
    public byte alt_port_num;
    public byte alt_timeout;
    public uint rate_limit;
}

/// <summary>A piece of local memory.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_sge
{
    public ulong addr;
    public uint length;
    public uint lkey;
}

/// <summary>A work request. Of its unions only the members of RDMA READ and WRITE are declared.</summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal unsafe struct ibv_send_wr
{
    [FieldOffset(0)]
    public ulong wr_id;

    [FieldOffset(8)]
    public ibv_send_wr* next;

    [FieldOffset(16)]
    public ibv_sge* sg_list;

    [FieldOffset(24)]
    public int num_sge;

    [FieldOffset(28)]
    public ibv_wr_opcode opcode;

    [FieldOffset(32)]
    public ibv_send_flags send_flags;

    [FieldOffset(40)]
    public ulong remote_addr;

    [FieldOffset(48)]
    public uint rkey;
}

/// <summary>A work completion.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_wc
{
    public ulong wr_id;
    public ibv_wc_status status;
    public int opcode;
    public uint vendor_err;
    public uint byte_len;
    public uint imm_data;
    public uint qp_num;
    public uint src_qp;
    public uint wc_flags;
    public ushort pkey_index;
    public ushort slid;
    public byte sl;
    public byte dlid_path_bits;
}
