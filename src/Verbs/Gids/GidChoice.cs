// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Gids;

/// <summary>Which entry of a port's GID table is used.</summary>
/// <param name="Gid">The entry.</param>
/// <param name="Reason">Why, in one clause for a person.</param>
internal sealed record GidChoice(GidCandidate Gid, string Reason)
{
    private const string Stage = "verbs:gid";

    /// <summary>Chooses the entry to use.</summary>
    /// <param name="table">The port's entries, in any order; empty ones may be left out.</param>
    /// <param name="length">How many entries the port has, empty ones included.</param>
    /// <param name="wish">What it is for.</param>
    /// <returns>An error with stage "verbs:gid" when the index asked for does not do, or no entry does.</returns>
    public static MeshResult<GidChoice> Choose(IReadOnlyList<GidCandidate> table, int length, GidWish wish)
    {
        if (wish.Index is { } index)
            return AskedFor(table, length, index);
        var ranked = Rank(table, wish);
        if (ranked.Count == 0)
        {
            return Fault($"the port's GID table of {length} entries is empty; bring its interface up and give it an "
                + "address");
        }

        return new GidChoice(ranked[0], ReasonOf(ranked[0], wish));
    }

    /// <summary>The entries that can be used, the best first.</summary>
    /// <param name="table">The port's entries.</param>
    /// <param name="wish">What they are for; its index is not looked at.</param>
    public static IReadOnlyList<GidCandidate> Rank(IReadOnlyList<GidCandidate> table, GidWish wish) =>
        [.. table.Where(gid => !gid.IsEmpty).OrderBy(gid => RankOf(gid, wish))];

    /// <summary>
    /// What an entry is sorted by, the smallest first. An InfiniBand port has no addresses to compare, and its first
    /// entry is the one that a subnet manager routes.
    /// </summary>
    private static (bool Foreign, bool Old, bool Routed, bool OtherFamily, GidScope Scope, int Index) RankOf(
        GidCandidate gid, GidWish wish)
    {
        if (gid.Type == GidType.InfiniBand)
            return (false, false, false, false, default, gid.Index);
        var address = gid.Address;
        return (wish.IsForeign(address), gid.Type != GidType.RoceV2, !wish.IsOnSubnetOfPeer(address),
            wish.WantedFamily is { } family && address.AddressFamily != family, gid.Scope, gid.Index);
    }

    private static MeshResult<GidChoice> AskedFor(IReadOnlyList<GidCandidate> table, int length, int index)
    {
        if (index < 0 || index >= length)
        {
            return Fault($"the GID index is {index}; the port has 0 to {length - 1}: set one of these, or none to have "
                + "it chosen");
        }

        foreach (var gid in table)
        {
            if (gid.Index == index && !gid.IsEmpty)
                return new GidChoice(gid, "the index that was set");
        }

        var filled = table.Where(gid => !gid.IsEmpty).Select(gid => gid.Index).Order();
        return Fault($"the GID index is {index}, and that entry is empty; filled are "
            + $"{(filled.Any() ? string.Join(", ", filled) : "none")}: set one of these, or none to have it chosen");
    }

    private static string ReasonOf(GidCandidate gid, GidWish wish)
    {
        if (gid.Type == GidType.InfiniBand)
            return "the first of an InfiniBand port";
        var address = gid.Address;
        string version = gid.Type == GidType.RoceV2 ? "RoCE v2" : "RoCE v1, there is no v2";
        string scope = gid.Scope switch
        {
            GidScope.IPv4 => "IPv4",
            GidScope.IPv6 => "IPv6",
            _ => "link-local alone",
        };
        string reason = $"{version}, {scope}";
        if (wish.IsOnSubnetOfPeer(address))
            reason += $", on the subnet of {wish.Peer}";
        else if (wish.WantedFamily is { } family && family != address.AddressFamily)
            reason += $", there is no {(family == AddressFamily.InterNetwork ? "IPv4" : "IPv6")} one";
        if (wish.IsForeign(address))
            reason += ", an address that no interface here has";
        return reason;
    }

    private static MeshError Fault(string message) => new(MeshErrorCode.InvalidArgument, Stage, message);
}
