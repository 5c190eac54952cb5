// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Engine;

/// <summary>Where an engine is reached, out of what a user wrote.</summary>
internal static class TransferAddresses
{
    /// <summary>Host and port of a name, where it has the form of an address; else the name and 0.</summary>
    public static (string Host, int Port) Split(string name)
    {
        if (name.Length == 0)
            return ("", 0);
        var endpoint = PeerEndpoint.Parse("name", name);
        return endpoint.Succeeded ? (endpoint.Value.Host, endpoint.Value.Port) : (name, 0);
    }

    /// <summary>The address of a host; of none, one of this host: beyond loopback where that is allowed.</summary>
    /// <returns>The address; Dns; InvalidArgument for the wildcard.</returns>
    public static TransferResult<IPAddress> Resolve(string host, bool beyondLoopback)
    {
        if (host.Length == 0)
            return (beyondLoopback ? Addresses.Routable() : null) ?? IPAddress.Loopback;
        if (!IPAddress.TryParse(host, out var address))
        {
            try
            {
                // A name that has both is reached by either: IPv4 is what most peers have.
                var all = Dns.GetHostAddresses(host);
                address = Array.Find(all, static a => a.AddressFamily == AddressFamily.InterNetwork) ?? all[0];
            }
            catch (Exception e) when (e is SocketException or ArgumentException or IndexOutOfRangeException)
            {
                return new TransferError(TransferErrorCode.Dns, $"host '{host}' does not resolve: {e.Message}");
            }
        }

        return address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any)
            ? new TransferError(TransferErrorCode.InvalidArgument,
                $"host '{host}' is every address: name the one that others connect to, and bind it by Listen")
            : address;
    }
}
