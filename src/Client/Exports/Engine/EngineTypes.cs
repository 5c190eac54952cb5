// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Exports.Engine;

/// <summary>transfer_engine_c.h: a message. Field names are the native ones, here and below.</summary>
internal unsafe struct notify_msg
{
    public byte* name;
    public byte* msg;
}

/// <summary>transfer_engine_c.h: what a way to peers carries.</summary>
internal unsafe struct nic_load_stat
{
    public fixed byte device_name[64];
    public ulong inflight_bytes;
    public double ewma_bandwidth_bps;
}
