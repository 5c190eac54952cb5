// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Net;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>The kind of a GID: both ends of a path need the same.</summary>
internal enum GidType
{
    /// <summary>InfiniBand.</summary>
    InfiniBand,

    /// <summary>RoCE v1: Ethernet frames, not routed.</summary>
    RoceV1,

    /// <summary>RoCE v2: UDP, routed like any other.</summary>
    RoceV2,
}

/// <summary>A GID: 128 bits, the first byte the highest.</summary>
internal readonly record struct Gid(UInt128 Value)
{
    /// <summary>Length in bytes.</summary>
    internal const int Size = 16;

    /// <summary>A GID from its bytes in network order.</summary>
    internal static Gid FromBytes(ReadOnlySpan<byte> bytes) => new(BinaryPrimitives.ReadUInt128BigEndian(bytes));

    /// <summary>Writes the bytes in network order.</summary>
    internal void CopyTo(Span<byte> bytes) => BinaryPrimitives.WriteUInt128BigEndian(bytes, Value);

    /// <summary>Written as an IPv6 address, which it is on RoCE.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Size];
        CopyTo(bytes);
        return new IPAddress(bytes).ToString();
    }
}

/// <summary>A row of a port's GID table.</summary>
/// <param name="Index">Its place in the table. It may change when addresses come and go.</param>
/// <param name="Gid">The GID.</param>
/// <param name="Type">Its kind.</param>
/// <param name="InterfaceIndex">The network interface behind it; 0 when there is none.</param>
internal readonly record struct GidEntry(int Index, Gid Gid, GidType Type, uint InterfaceIndex);
