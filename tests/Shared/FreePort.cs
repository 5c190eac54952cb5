// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;

namespace Mooncake.Mesh.TestSupport;

/// <summary>
/// Ports for programs that bind them by themselves. They lie below those that the kernel gives to outgoing connections
/// (net.ipv4.ip_local_port_range): one of these could take the port before the program does.
/// </summary>
internal static class FreePort
{
    private const int First = 20_000;
    private const int Past = 32_000;
    private const int Tries = 100;

    /// <summary>A port that nobody listens on now.</summary>
    public static int Take()
    {
        for (int i = 1; ; i++)
        {
            int port = Random.Shared.Next(First, Past);
            using var listener = new TcpListener(IPAddress.Loopback, port);
            try
            {
                listener.Start();
                return port;
            }
            catch (SocketException taken) when (taken.SocketErrorCode == SocketError.AddressAlreadyInUse && i < Tries)
            {
                continue;
            }
        }
    }
}
