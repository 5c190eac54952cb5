// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

// infiniband/verbs.h of rdma-core 44: a device, its ports and what is allocated on it. Structs that end in the
// library's own locks are declared up to them.
#pragma warning disable CS8981 // the native names are lower-case

namespace Mooncake.Mesh.Verbs.Interop;

/// <summary>The calls that verbs.h makes inline. Names with _compat_ are no longer for callers.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_context_ops
{
    public void* _compat_query_device;
    public void* _compat_query_port;
    public void* _compat_alloc_pd;
    public void* _compat_dealloc_pd;
    public void* _compat_reg_mr;
    public void* _compat_rereg_mr;
    public void* _compat_dereg_mr;
    public void* alloc_mw;
    public void* bind_mw;
    public void* dealloc_mw;
    public void* _compat_create_cq;

    /// <summary>How many completions were taken, or negative.</summary>
    public delegate* unmanaged[Cdecl]<ibv_cq*, int, ibv_wc*, int> poll_cq;

    /// <summary>0, or the errno.</summary>
    public delegate* unmanaged[Cdecl]<ibv_cq*, int, int> req_notify_cq;

    public void* _compat_cq_event;
    public void* _compat_resize_cq;
    public void* _compat_destroy_cq;
    public void* _compat_create_srq;
    public void* _compat_modify_srq;
    public void* _compat_query_srq;
    public void* _compat_destroy_srq;
    public void* post_srq_recv;
    public void* _compat_create_qp;
    public void* _compat_query_qp;
    public void* _compat_modify_qp;
    public void* _compat_destroy_qp;

    /// <summary>0, or the errno and the first request not taken.</summary>
    public delegate* unmanaged[Cdecl]<ibv_qp*, ibv_send_wr*, ibv_send_wr**, int> post_send;

    public void* post_recv;
    public void* _compat_create_ah;
    public void* _compat_destroy_ah;
    public void* _compat_attach_mcast;
    public void* _compat_detach_mcast;
    public void* _compat_async_event;
}

/// <summary>An open device, up to its lock.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_context
{
    public void* device;
    public ibv_context_ops ops;
    public int cmd_fd;
    public int async_fd;
    public int num_comp_vectors;
}

/// <summary>What ibv_query_device fills.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_device_attr
{
    public fixed byte fw_ver[64];
    public ulong node_guid;
    public ulong sys_image_guid;
    public ulong max_mr_size;
    public ulong page_size_cap;
    public uint vendor_id;
    public uint vendor_part_id;
    public uint hw_ver;
    public int max_qp;
    public int max_qp_wr;
    public uint device_cap_flags;
    public int max_sge;
    public int max_sge_rd;
    public int max_cq;
    public int max_cqe;
    public int max_mr;
    public int max_pd;
    public int max_qp_rd_atom;
    public int max_ee_rd_atom;
    public int max_res_rd_atom;
    public int max_qp_init_rd_atom;
    public int max_ee_init_rd_atom;
    public int atomic_cap;
    public int max_ee;
    public int max_rdd;
    public int max_mw;
    public int max_raw_ipv6_qp;
    public int max_raw_ethy_qp;
    public int max_mcast_grp;
    public int max_mcast_qp_attach;
    public int max_total_mcast_qp_attach;
    public int max_ah;
    public int max_fmr;
    public int max_map_per_fmr;
    public int max_srq;
    public int max_srq_wr;
    public int max_srq_sge;
    public ushort max_pkeys;
    public byte local_ca_ack_delay;
    public byte phys_port_cnt;
}

/// <summary>What ibv_query_port fills, port_cap_flags2 excepted.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_port_attr
{
    public ibv_port_state state;
    public ibv_mtu max_mtu;
    public ibv_mtu active_mtu;
    public int gid_tbl_len;
    public uint port_cap_flags;
    public uint max_msg_sz;
    public uint bad_pkey_cntr;
    public uint qkey_viol_cntr;
    public ushort pkey_tbl_len;
    public ushort lid;
    public ushort sm_lid;
    public byte lmc;
    public byte max_vl_num;
    public byte sm_sl;
    public byte subnet_timeout;
    public byte init_type_reply;
    public byte active_width;
    public byte active_speed;
    public byte phys_state;
    public ibv_link_layer link_layer;
    public byte flags;
    public ushort port_cap_flags2;
}

/// <summary>A GID in network byte order: a union of its bytes and its two halves.</summary>
[StructLayout(LayoutKind.Explicit)]
internal unsafe struct ibv_gid
{
    [FieldOffset(0)]
    public fixed byte raw[16];

    [FieldOffset(0)]
    public ulong subnet_prefix;

    [FieldOffset(8)]
    public ulong interface_id;
}

/// <summary>A row of the GID table.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ibv_gid_entry
{
    public ibv_gid gid;
    public uint gid_index;
    public uint port_num;
    public ibv_gid_type gid_type;
    public uint ndev_ifindex;
}

/// <summary>A protection domain.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_pd
{
    public ibv_context* context;
    public uint handle;
}

/// <summary>A memory region.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ibv_mr
{
    public ibv_context* context;
    public ibv_pd* pd;
    public void* addr;
    public nuint length;
    public uint handle;
    public uint lkey;
    public uint rkey;
}

/// <summary>An asynchronous event; which member of the union holds depends on the type.</summary>
[StructLayout(LayoutKind.Explicit)]
internal unsafe struct ibv_async_event
{
    [FieldOffset(0)]
    public ibv_cq* cq;

    [FieldOffset(0)]
    public ibv_qp* qp;

    [FieldOffset(0)]
    public int port_num;

    [FieldOffset(8)]
    public ibv_event_type event_type;
}
