// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>What a device can hold. Drivers round up what is asked for: a limit may be met earlier.</summary>
internal sealed unsafe record DeviceLimits
{
    internal DeviceLimits(in ibv_device_attr attr)
    {
        fixed (byte* firmware = attr.fw_ver)
        {
            var text = new ReadOnlySpan<byte>(firmware, 64);
            int end = text.IndexOf((byte)0);
            Firmware = Encoding.UTF8.GetString(end < 0 ? text : text[..end]);
        }

        MaxMrSize = (long)Math.Min(attr.max_mr_size, long.MaxValue);
        PageSizes = attr.page_size_cap;
        MaxMr = attr.max_mr;
        MaxQp = attr.max_qp;
        MaxQpWr = attr.max_qp_wr;
        MaxSge = attr.max_sge;
        MaxSgeRead = attr.max_sge_rd > 0 ? Math.Min(attr.max_sge_rd, attr.max_sge) : attr.max_sge;
        MaxCq = attr.max_cq;
        MaxCqe = attr.max_cqe;
        MaxRdAtomic = Byte(attr.max_qp_rd_atom);
        MaxInitRdAtomic = Byte(attr.max_qp_init_rd_atom);
        PortCount = attr.phys_port_cnt;
    }

    /// <summary>The firmware's version; empty for a device without.</summary>
    public string Firmware { get; }

    /// <summary>The longest memory region, in bytes.</summary>
    public long MaxMrSize { get; }

    /// <summary>The page sizes of the device: bit n stands for 2^n bytes.</summary>
    public ulong PageSizes { get; }

    /// <summary>Memory regions at once.</summary>
    public int MaxMr { get; }

    /// <summary>Queue pairs at once.</summary>
    public int MaxQp { get; }

    /// <summary>Work requests of a queue pair at once.</summary>
    public int MaxQpWr { get; }

    /// <summary>Pieces of a work request.</summary>
    public int MaxSge { get; }

    /// <summary>Pieces of an RDMA READ: less than <see cref="MaxSge"/> on some devices.</summary>
    public int MaxSgeRead { get; }

    /// <summary>Completion queues at once.</summary>
    public int MaxCq { get; }

    /// <summary>Completions in a completion queue.</summary>
    public int MaxCqe { get; }

    /// <summary>RDMA READs of the peer that a queue pair answers at once.</summary>
    public byte MaxRdAtomic { get; }

    /// <summary>RDMA READs of its own that a queue pair has under way at once.</summary>
    public byte MaxInitRdAtomic { get; }

    /// <summary>Ports, numbered from 1.</summary>
    public byte PortCount { get; }

    private static byte Byte(int value) => (byte)Math.Clamp(value, 0, byte.MaxValue);
}
