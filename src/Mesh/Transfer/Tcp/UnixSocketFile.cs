// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// The file of a listening Unix socket. One that a dead process left behind is taken away; one on which somebody
/// listens, or that is no socket, is left alone.
/// </summary>
internal static class UnixSocketFile
{
    private const uint OwnerAndGroup = 0x1B0; // 0660

    /// <summary>Binds a socket to a path, with mode 0660.</summary>
    /// <exception cref="PeerNetworkException">The path is in use, or is no socket.</exception>
    public static void Bind(Socket socket, string path)
    {
        if (File.Exists(path))
            RemoveStale(path);
        socket.Bind(new UnixDomainSocketEndPoint(path));

        // Before the socket listens: until then nobody can connect.
        if (LibC.chmod(path, OwnerAndGroup) != 0)
            throw new PeerNetworkException($"chmod of '{path}' failed (errno {Marshal.GetLastPInvokeError()})");
    }

    private static void RemoveStale(string path)
    {
        // Only a socket answers an open with ENXIO; a connect says "refused" for any file.
        int fd = LibC.open(path, LibC.O_RDONLY | LibC.O_NONBLOCK | LibC.O_CLOEXEC);
        int errno = fd < 0 ? Marshal.GetLastPInvokeError() : 0;
        if (fd >= 0)
            _ = LibC.close(fd);
        if (errno == LibC.ENOENT)
            return;
        if (errno != LibC.ENXIO)
            throw new PeerNetworkException($"'{path}' exists and is no socket (errno {errno})");

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        {
            // Else a listener with a full backlog would hold us.
            Blocking = false,
        };
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
        {
            throw new PeerNetworkException($"a living process listens on '{path}'", e);
        }

        throw new PeerNetworkException($"a living process listens on '{path}'");
    }
}
