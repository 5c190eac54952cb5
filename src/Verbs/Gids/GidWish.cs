// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;

namespace Mooncake.Mesh.Verbs.Gids;

/// <summary>What a GID is to be chosen for.</summary>
internal sealed record GidWish
{
    /// <summary>The index that the user has set, which wins over everything; null: chosen here.</summary>
    public int? Index { get; init; }

    /// <summary>The peer's address; null: not known yet.</summary>
    public IPAddress? Peer { get; init; }

    /// <summary>The wanted family, where there is no <see cref="Peer"/>; null: either.</summary>
    public AddressFamily? Family { get; init; }

    /// <summary>
    /// Addresses of this host's interfaces; none: not known, and then every GID is taken for one of this host.
    /// </summary>
    public IReadOnlyList<LocalAddress> Locals { get; init; } = [];

    /// <summary>The family to look for; null: either.</summary>
    internal AddressFamily? WantedFamily => Peer is { } peer ? Plain(peer).AddressFamily : Family;

    /// <summary>Whether the peer can be reached from an address without a router, as far as is known.</summary>
    internal bool IsOnSubnetOfPeer(IPAddress address)
    {
        if (Peer is null)
            return false;
        var peer = Plain(Peer);
        if (address.AddressFamily == AddressFamily.InterNetworkV6 && address.IsIPv6LinkLocal)
            return peer.IsIPv6LinkLocal;
        foreach (var local in Locals)
        {
            if (local.Address.Equals(address) && local.HasOnSubnet(peer))
                return true;
        }

        return false;
    }

    /// <summary>
    /// Whether an address is another's: a port's table has those of every container that shares the port. Link-local
    /// ones are made by the card and need not be any interface's.
    /// </summary>
    internal bool IsForeign(IPAddress address) =>
        Locals.Count > 0 && GidCandidate.ScopeOf(address) != GidScope.LinkLocal
            && !Locals.Any(local => local.Address.Equals(address));

    private static IPAddress Plain(IPAddress address) =>
        address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}

/// <summary>An address of an interface.</summary>
/// <param name="Address">The address.</param>
/// <param name="PrefixLength">Bits of it that are its subnet's.</param>
internal readonly record struct LocalAddress(IPAddress Address, int PrefixLength)
{
    /// <summary>Whether another address is on the same subnet.</summary>
    public bool HasOnSubnet(IPAddress other)
    {
        byte[] ours = Address.GetAddressBytes();
        byte[] theirs = other.GetAddressBytes();
        if (ours.Length != theirs.Length)
            return false;
        for (int bit = 0; bit < PrefixLength; bit++)
        {
            if (((ours[bit / 8] ^ theirs[bit / 8]) & (0x80 >> (bit % 8))) != 0)
                return false;
        }

        return true;
    }
}
