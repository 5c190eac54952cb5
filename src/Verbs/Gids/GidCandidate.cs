// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.Net;
using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Gids;

/// <summary>How far a GID's address is known, the more useful ones first.</summary>
internal enum GidScope
{
    /// <summary>An IPv4 address.</summary>
    IPv4,

    /// <summary>An IPv6 address that routers know.</summary>
    IPv6,

    /// <summary>A link-local address of either family: good on one link alone.</summary>
    LinkLocal,
}

/// <summary>One entry of a port's GID table.</summary>
/// <param name="Index">Its place in the table.</param>
/// <param name="Gid">Its 16 bytes, most significant first; zero: the entry is empty.</param>
/// <param name="Type">What it is good for.</param>
/// <param name="NetdevIndex">Interface it comes from; 0: none.</param>
internal readonly record struct GidCandidate(int Index, UInt128 Gid, GidType Type, int NetdevIndex = 0)
{
    /// <summary>Makes one of the bytes as they lie in memory.</summary>
    public static GidCandidate Of(int index, ReadOnlySpan<byte> gid, GidType type, int netdevIndex = 0) =>
        new(index, BinaryPrimitives.ReadUInt128BigEndian(gid), type, netdevIndex);

    /// <summary>Makes one of an entry of a device.</summary>
    public static GidCandidate Of(GidEntry entry) =>
        new(entry.Index, entry.Gid.Value, entry.Type, (int)entry.InterfaceIndex);

    /// <summary>Whether the entry holds nothing.</summary>
    public bool IsEmpty => Gid == UInt128.Zero;

    /// <summary>The address that a RoCE GID is; an IPv4 one as such.</summary>
    public IPAddress Address
    {
        get
        {
            Span<byte> bytes = stackalloc byte[16];
            BinaryPrimitives.WriteUInt128BigEndian(bytes, Gid);
            var address = new IPAddress(bytes);
            return address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        }
    }

    /// <summary>How far that address is known.</summary>
    public GidScope Scope => ScopeOf(Address);

    /// <summary>How far an address is known.</summary>
    public static GidScope ScopeOf(IPAddress address)
    {
        if (address.AddressFamily != System.Net.Sockets.AddressFamily.InterNetwork)
            return address.IsIPv6LinkLocal ? GidScope.LinkLocal : GidScope.IPv6;
        byte[] bytes = address.GetAddressBytes();
        return bytes[0] == 169 && bytes[1] == 254 ? GidScope.LinkLocal : GidScope.IPv4;
    }
}
