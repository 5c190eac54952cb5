// SPDX-License-Identifier: Apache-2.0

using System.Net;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>Finds a port to listen on.</summary>
internal static class EngineListener
{
    /// <summary>First port that is tried where none is named.</summary>
    public const int FirstPort = 15_000;

    /// <summary>Last port that is tried where none is named.</summary>
    public const int LastPort = 17_000;

    /// <summary>Listens where the settings say.</summary>
    /// <returns>The listener; Socket: the port is in use, or the address is not this host's.</returns>
    public static TransferResult<IPeerListener> Listen(EngineSettings settings, MeshRuntime runtime)
    {
        TransferError? refused = null;
        if (settings.Bind.Port > 0)
        {
            var named = TryListen(settings.Bind, runtime);
            if (named.Succeeded || !settings.AnyPort)
                return named;
            refused = named.Error;
        }

        // Engines that start together begin in different places.
        const int Ports = LastPort - FirstPort + 1;
        int start = runtime.Random.Next(Ports);
        for (int i = 0; i < Ports; i++)
        {
            var found = TryListen(settings.Bind.WithPort(FirstPort + ((start + i) % Ports)), runtime);
            if (found.Succeeded)
                return found;
            refused = found.Error;
            if (!IsInUse(settings.Bind, runtime))
                break;
        }

        return refused!;
    }

    /// <summary>Port of a listener.</summary>
    public static int PortOf(IPeerListener listener) => IPEndPoint.Parse(listener.Endpoint).Port;

    private static TransferResult<IPeerListener> TryListen(PeerEndpoint endpoint, MeshRuntime runtime)
    {
        try
        {
            return TransferResults.Of(runtime.Network.Listen(endpoint.ToString()));
        }
        catch (PeerNetworkException e)
        {
            return new TransferError(TransferErrorCode.Socket, e.Message);
        }
    }

    /// <summary>Whether it is the port, not the address, that cannot be had: any free port can.</summary>
    private static bool IsInUse(PeerEndpoint endpoint, MeshRuntime runtime)
    {
        var any = TryListen(endpoint.WithPort(0), runtime);
        if (!any.Succeeded)
            return false;
        _ = any.Value.DisposeAsync();
        return true;
    }
}
