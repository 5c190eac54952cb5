// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// One message with open descriptors (SCM_RIGHTS) on a Unix socket that is otherwise used asynchronously. Calls return
/// at once; the socket stays with its owner.
/// </summary>
internal static unsafe class DescriptorMessage
{
    /// <summary>Most descriptors a message; the kernel's own limit is 253.</summary>
    public const int MostDescriptors = 128;

    private const int ControlBytes = 16 + (4 * MostDescriptors);

    /// <summary>Sends a message whole.</summary>
    /// <returns>0, or the errno.</returns>
    public static int Send(Socket socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<int> descriptors)
    {
        byte* control = stackalloc byte[ControlBytes];
        int dataBytes = descriptors.Length * sizeof(int);
        *(cmsghdr*)control = new cmsghdr
        {
            cmsg_len = (nuint)(sizeof(cmsghdr) + dataBytes),
            cmsg_level = LibC.SOL_SOCKET,
            cmsg_type = LibC.SCM_RIGHTS,
        };
        descriptors.CopyTo(new Span<int>(control + sizeof(cmsghdr), MostDescriptors));
        fixed (byte* first = bytes)
        {
            var part = new iovec { iov_base = first, iov_len = (nuint)bytes.Length };
            var message = new msghdr
            {
                msg_iov = &part,
                msg_iovlen = 1,
                msg_control = descriptors.IsEmpty ? null : control,
                msg_controllen = descriptors.IsEmpty ? 0 : Aligned(sizeof(cmsghdr) + dataBytes),
            };
            using var handle = new HeldHandle(socket);
            nint sent = LibC.sendmsg(handle.Fd, &message, LibC.MSG_NOSIGNAL | LibC.MSG_DONTWAIT);
            if (sent < 0)
                return Marshal.GetLastPInvokeError();
            return sent == bytes.Length ? 0 : LibC.EAGAIN;
        }
    }

    /// <summary>Receives a message, waiting for it up to <paramref name="limit"/>.</summary>
    /// <param name="socket">A connected Unix socket.</param>
    /// <param name="bytes">Where the message goes.</param>
    /// <param name="descriptors">Gets the descriptors, which are the caller's to close.</param>
    /// <param name="limit">Longest wait.</param>
    /// <returns>Bytes received; 0 when the other side has closed; -1 when late, refused, or cut short.</returns>
    public static int Receive(Socket socket, Span<byte> bytes, List<int> descriptors, TimeSpan limit)
    {
        byte* control = stackalloc byte[ControlBytes];
        using var handle = new HeldHandle(socket);
        var poll = new pollfd { fd = handle.Fd, events = LibC.POLLIN };
        if (LibC.poll(&poll, 1, (int)limit.TotalMilliseconds) <= 0)
            return -1;
        fixed (byte* first = bytes)
        {
            var part = new iovec { iov_base = first, iov_len = (nuint)bytes.Length };
            var message = new msghdr
            {
                msg_iov = &part,
                msg_iovlen = 1,
                msg_control = control,
                msg_controllen = ControlBytes,
            };
            nint got = LibC.recvmsg(handle.Fd, &message, LibC.MSG_DONTWAIT | LibC.MSG_CMSG_CLOEXEC);
            if (got < 0)
                return -1;
            Collect(message, descriptors);
            return (message.msg_flags & LibC.MSG_CTRUNC) != 0 ? -1 : (int)got;
        }
    }

    private static void Collect(in msghdr message, List<int> descriptors)
    {
        byte* at = (byte*)message.msg_control;
        byte* end = at + message.msg_controllen;
        while (end - at >= sizeof(cmsghdr))
        {
            var header = *(cmsghdr*)at;
            long length = (long)header.cmsg_len;
            if (length < sizeof(cmsghdr) || length > end - at)
                return;
            if (header.cmsg_level == LibC.SOL_SOCKET && header.cmsg_type == LibC.SCM_RIGHTS)
            {
                for (int* fd = (int*)(at + sizeof(cmsghdr)); (byte*)(fd + 1) <= at + length; fd++)
                    descriptors.Add(*fd);
            }

            at += Aligned((int)length);
        }
    }

    private static nuint Aligned(int length) => (nuint)((length + 7) & ~7);

    /// <summary>The socket's descriptor, kept open for one call.</summary>
    private ref struct HeldHandle : IDisposable
    {
        private readonly SafeSocketHandle _handle;
        private bool _held;

        public HeldHandle(Socket socket)
        {
            _handle = socket.SafeHandle;
            _handle.DangerousAddRef(ref _held);
            Fd = (int)_handle.DangerousGetHandle();
        }

        public int Fd { get; }

        public void Dispose()
        {
            if (_held)
                _handle.DangerousRelease();
            _held = false;
        }
    }
}
