// SPDX-License-Identifier: Apache-2.0

using System.Net;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh;

/// <summary>The addresses of this host's network cards that large objects are read by.</summary>
internal static class RailAddresses
{
    /// <summary>Most of them.</summary>
    public const int MaxCount = 8;

    /// <summary>The faults of the setting.</summary>
    /// <param name="rails">What was given.</param>
    /// <param name="beyondLoopback">Whether others than loopback addresses may be listened on.</param>
    public static IEnumerable<MeshError> Check(IReadOnlyList<string> rails, bool beyondLoopback)
    {
        if (rails.Count > MaxCount)
            yield return Fault($"rails names {rails.Count} addresses; at most {MaxCount} are legal");
        foreach (string rail in rails)
        {
            if (!IPAddress.TryParse(rail, out var address) || address.Equals(IPAddress.Any)
                || address.Equals(IPAddress.IPv6Any))
                yield return Fault($"rails: '{rail}' is no address of a network card");
            else if (!beyondLoopback && !IPAddress.IsLoopback(address))
                yield return Fault($"rails: '{rail}' is beyond loopback, and there is no cluster secret; set secretFile");
        }
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
        return listening.IsWildcard ? [] : Endpoints(rails, bound).Where(rail => rail != listening.ToString());
    }

    private static MeshError Fault(string message) => new(MeshErrorCode.InvalidArgument, "config:rails", message);
}
