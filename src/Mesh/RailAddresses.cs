// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh;

/// <summary>The setting "rails": addresses of this host's network cards that large objects are read over.</summary>
internal static class RailAddresses
{
    /// <summary>The faults of the setting.</summary>
    /// <param name="rails">What was given.</param>
    /// <param name="beyondLoopback">Whether others than loopback addresses may be listened on.</param>
    public static IEnumerable<MeshError> Check(IReadOnlyList<string> rails, bool beyondLoopback)
    {
        if (rails.Count > RailSet.MostRails)
            yield return Fault($"rails has {rails.Count} addresses; the limit is {RailSet.MostRails}");
        var seen = new HashSet<IPAddress>();
        foreach (string rail in rails)
        {
            if (Parse(rail) is not { } address)
                yield return Fault($"rails: '{rail}' is no IP address of one network card");
            else if (!seen.Add(address))
                yield return Fault($"rails: '{rail}' is named twice");
            else if (!beyondLoopback && !IPAddress.IsLoopback(address))
            {
                yield return Fault($"rails: '{rail}' is beyond loopback, and there is no cluster secret; "
                    + "set secretFile, or set insecure: true on a trusted network");
            }
        }
    }

    /// <summary>The first fault of a client's rails, which listens on none; null: they are good.</summary>
    public static MeshError? FaultOf(IReadOnlyList<string> rails, IPeerNetwork network) =>
        Check(rails, beyondLoopback: true).FirstOrDefault() ?? Elsewhere(rails, network);

    /// <summary>The fault of an address that no card of this host has; null: each is here.</summary>
    public static MeshError? Elsewhere(IReadOnlyList<string> rails, IPeerNetwork network)
    {
        if (network is not SocketNetwork)
            return null;
        foreach (string rail in rails)
        {
            if (!SocketNetwork.IsHere(IPAddress.Parse(rail)))
                return Fault($"rails: '{rail}' is no address of this host");
        }

        return null;
    }

    /// <summary>What peers are told: each address with the port in use.</summary>
    public static string[] Endpoints(IReadOnlyList<string> rails, string bound)
    {
        if (rails.Count == 0)
            return [];
        int port = PeerEndpoint.Parse("listen", bound).Value.Port;
        return [.. rails.Select(rail => new IPEndPoint(IPAddress.Parse(rail), port).ToString())];
    }

    /// <summary>Which of them must be listened on beside the address that is listened on already.</summary>
    public static IEnumerable<string> ToListenOn(IReadOnlyList<string> rails, string bound)
    {
        if (rails.Count == 0)
            return [];
        var listening = PeerEndpoint.Parse("listen", bound).Value;
        // The wildcard of IPv6 means both; that of IPv4 itself alone.
        return Endpoints(rails, bound).Where(rail => rail != listening.ToString()
            && !(listening.IsWildcard && (listening.Host.Contains(':') || !rail.StartsWith('['))));
    }

    private static IPAddress? Parse(string? rail)
    {
        if (!IPAddress.TryParse(rail, out var address) || address.Equals(IPAddress.Any)
            || address.Equals(IPAddress.IPv6Any))
            return null;
        // "1" and "10.1" are addresses to the parser, and slips of the pen to everybody else.
        return address.AddressFamily == AddressFamily.InterNetwork && address.ToString() != rail ? null : address;
    }

    private static MeshError Fault(string message) => new(MeshErrorCode.InvalidArgument, "config:rails", message);
}
