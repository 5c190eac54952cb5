// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh;

/// <summary>Listening and advertised addresses of a node.</summary>
internal static class Addresses
{
    /// <summary>The faults of listen and advertise.</summary>
    public static IEnumerable<MeshError> Check(MeshNodeOptions options)
    {
        var listen = PeerEndpoint.Parse("listen", options.Listen);
        if (!listen.Succeeded)
        {
            yield return listen.Error!;
            yield break;
        }

        if (!options.Insecure && options.Secret is null && !listen.Value.IsLoopback)
        {
            yield return new MeshError(MeshErrorCode.InvalidArgument, "config:listen",
                $"listen is '{options.Listen}', beyond loopback, and there is no cluster secret; "
                + "set secretFile, listen on 127.0.0.1, or set insecure: true on a trusted network");
        }

        foreach (var fault in RailAddresses.Check(options.Rails, options.Insecure || options.Secret is not null))
            yield return fault;
        if (options.Advertise is null)
            yield break;
        var advertise = PeerEndpoint.Parse("advertise", options.Advertise);
        if (!advertise.Succeeded)
            yield return advertise.Error!;
        else if (advertise.Value.IsWildcard)
        {
            yield return new MeshError(MeshErrorCode.InvalidArgument, "config:advertise",
                $"advertise is '{options.Advertise}', which no peer can connect to; name an address of this host");
        }
    }

    /// <summary>What peers are told, once the listening port is known.</summary>
    public static MeshResult<string> Advertised(MeshNodeOptions options, string bound)
    {
        var listening = PeerEndpoint.Parse("listen", bound);
        if (!listening.Succeeded)
            return listening.Error!;
        if (options.Advertise is not null)
        {
            var advertise = PeerEndpoint.Parse("advertise", options.Advertise);
            if (!advertise.Succeeded)
                return advertise.Error!;
            var named = advertise.Value;
            return (named.Port == 0 ? named.WithPort(listening.Value.Port) : named).ToString();
        }

        if (!listening.Value.IsWildcard)
            return listening.Value.ToString();
        if (Routable() is not { } address)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, "config:advertise",
                $"listen is '{options.Listen}' and this host has no routable address; set advertise");
        }

        return new IPEndPoint(address, listening.Value.Port).ToString();
    }

    /// <summary>An address of this host that other hosts may reach; null: there is none.</summary>
    public static IPAddress? Routable()
    {
        IPAddress? v6 = null;
        foreach (var nic in NetworkInterface.GetAllNetworkInterfaces())
        {
            if (nic.OperationalStatus != OperationalStatus.Up
                || nic.NetworkInterfaceType == NetworkInterfaceType.Loopback)
                continue;
            foreach (var unicast in nic.GetIPProperties().UnicastAddresses)
            {
                var address = unicast.Address;
                if (address.AddressFamily == AddressFamily.InterNetwork && !IPAddress.IsLoopback(address))
                    return address;
                if (address.AddressFamily == AddressFamily.InterNetworkV6 && !address.IsIPv6LinkLocal)
                    v6 ??= address;
            }
        }

        return v6;
    }
}
