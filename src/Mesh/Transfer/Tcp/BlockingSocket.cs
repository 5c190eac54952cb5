// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// A connected socket, taken over from the asynchronous handshake and used by one blocking thread over native memory.
/// The runtime's own blocking calls would go through its poller from now on, as the socket was used asynchronously
/// before; these go to the kernel. <see cref="Stop"/> may come from any thread at any time.
/// </summary>
internal sealed unsafe class BlockingSocket : IStoppable, IDisposable
{
    /// <summary>A side that takes or gives no byte for this long is given up.</summary>
    public static readonly TimeSpan NoProgress = TimeSpan.FromSeconds(10);

    /// <summary>
    /// A side that is slower than this over a whole transfer, after <see cref="NoProgress"/>, is given up too: it holds
    /// a pin meanwhile (rule A2). In bytes a second.
    /// </summary>
    private const long Slowest = 1 << 20;

    /// <summary>The kernel takes at most 2 GiB a call; smaller pieces let no call run for long.</summary>
    private const long MaxPiece = 16 << 20;

    /// <summary>What is summed and sent, or received and summed, in one go: it lies in the core's own cache.</summary>
    private const long SummedPiece = 256 * 1024;

    private readonly Lock _gate = new();
    private readonly SocketConnection _connection;
    private readonly int _fd;
    private TimeSpan _patience;
    private bool _closed;

    private BlockingSocket(SocketConnection connection, int fd)
    {
        _connection = connection;
        _fd = fd;
    }

    /// <summary>The other side, for logs.</summary>
    public string Remote => _connection.RemoteEndpoint;

    /// <summary>Takes a connection over; it is closed with this object.</summary>
    /// <returns>The socket, or null when it has closed meanwhile.</returns>
    public static BlockingSocket? Take(SocketConnection connection)
    {
        bool held = false;
        connection.TakeOver();
        try
        {
            connection.Socket.SafeHandle.DangerousAddRef(ref held);
            var socket = new BlockingSocket(connection, (int)connection.Socket.SafeHandle.DangerousGetHandle());
            if (socket.MakeBlocking())
                return socket;
            socket.Dispose();
            return null;
        }
        catch (ObjectDisposedException)
        {
            connection.Abort();
            return null;
        }
    }

    /// <summary>Sends all of the memory.</summary>
    /// <returns>False when the connection broke, was stopped, or made no progress.</returns>
    public bool TrySend(byte* bytes, long length) => TrySend(bytes, length, EndOf(length));

    /// <summary>Sends all of the memory, and sums its slices on the way, each before it is sent.</summary>
    /// <returns>As <see cref="TrySend(byte*, long)"/>.</returns>
    public bool TrySend(byte* bytes, long length, SliceSums sums)
    {
        long end = EndOf(length);
        long sent = 0;
        long summed = 0;
        for (int slice = 0; slice < sums.Values.Length; slice++)
        {
            sums.Values[slice] = ObjectSum.OfSlice(bytes + summed, sums.LengthOf(slice));
            summed += sums.LengthOf(slice);
            if (summed - sent < SummedPiece && summed < length)
                continue;
            if (!TrySend(bytes + sent, summed - sent, end))
                return false;
            sent = summed;
        }

        return true;
    }

    /// <summary>Fills all of the memory.</summary>
    /// <returns>How many bytes came before the connection broke, was stopped, or made no progress.</returns>
    public long Receive(byte* bytes, long length) => Receive(bytes, length, EndOf(length));

    /// <summary>Fills all of the memory, and sums its slices on the way, each soon after it came.</summary>
    /// <returns>As <see cref="Receive(byte*, long)"/>.</returns>
    public long Receive(byte* bytes, long length, SliceSums sums)
    {
        long end = EndOf(length);
        long received = 0;
        long asked = 0;
        int summed = 0;
        for (int slice = 0; slice < sums.Values.Length; slice++)
        {
            asked += sums.LengthOf(slice);
            if (asked - received < SummedPiece && asked < length)
                continue;
            long got = Receive(bytes + received, asked - received, end);
            if (received + got < asked)
                return received + got;
            for (; summed <= slice; received += sums.LengthOf(summed), summed++)
                sums.Values[summed] = ObjectSum.OfSlice(bytes + received, sums.LengthOf(summed));
        }

        return received;
    }

    /// <summary>Sends several ranges in one go; <paramref name="parts"/> is used up.</summary>
    /// <returns>As <see cref="TrySend(byte*, long)"/>.</returns>
    public bool TrySend(Span<iovec> parts, long length)
    {
        long end = EndOf(length);
        fixed (iovec* first = parts)
        {
            var message = new msghdr { msg_iov = first, msg_iovlen = (nuint)parts.Length };
            while (length > 0 && Environment.TickCount64 < end)
            {
                nint sent = LibC.sendmsg(_fd, &message, LibC.MSG_NOSIGNAL);
                if (sent < 0 && Marshal.GetLastPInvokeError() == LibC.EINTR)
                    continue;
                if (sent <= 0)
                    return false;
                length -= sent;
                Skip(ref message, sent);
            }
        }

        return length == 0;
    }

    /// <summary>Fills several ranges in one go; <paramref name="parts"/> is used up.</summary>
    /// <returns>Whether all came, before the connection broke, was stopped, or made no progress.</returns>
    public bool TryReceive(Span<iovec> parts, long length)
    {
        long end = EndOf(length);
        fixed (iovec* first = parts)
        {
            var message = new msghdr { msg_iov = first, msg_iovlen = (nuint)parts.Length };
            while (length > 0 && Environment.TickCount64 < end)
            {
                nint got = LibC.recvmsg(_fd, &message, LibC.MSG_WAITALL);
                if (got < 0 && Marshal.GetLastPInvokeError() == LibC.EINTR)
                    continue;
                if (got <= 0)
                    return false;
                length -= got;
                Skip(ref message, got);
            }
        }

        return length == 0;
    }

    /// <summary>Waits until there is something to receive, be it the end.</summary>
    public bool WaitForInput(TimeSpan limit)
    {
        var poll = new pollfd { fd = _fd, events = LibC.POLLIN };
        while (true)
        {
            int ready = LibC.poll(&poll, 1, (int)limit.TotalMilliseconds);
            if (ready >= 0 || Marshal.GetLastPInvokeError() != LibC.EINTR)
                return ready > 0;
        }
    }

    /// <summary>
    /// Waits until there is something to receive, be it the end, or until another descriptor is readable; a limit
    /// below zero is none.
    /// </summary>
    public bool WaitForInputOr(int other, int milliseconds)
    {
        var polls = stackalloc pollfd[2];
        polls[0] = new pollfd { fd = _fd, events = LibC.POLLIN | LibC.POLLRDHUP };
        polls[1] = new pollfd { fd = other, events = LibC.POLLIN };
        while (true)
        {
            int ready = LibC.poll(polls, 2, milliseconds);
            if (ready >= 0 || Marshal.GetLastPInvokeError() != LibC.EINTR)
                return ready != 0;
        }
    }

    /// <summary>Sets how long the other side may give no byte; <see cref="NoProgress"/> at first.</summary>
    /// <returns>False when the kernel refuses.</returns>
    public bool TrySetPatience(TimeSpan limit)
    {
        if (limit == _patience)
            return true;
        _patience = limit;
        return SetLimit(LibC.SO_RCVTIMEO, limit);
    }

    /// <summary>Whether the other side has sent nothing and has not closed.</summary>
    public bool IsQuiet()
    {
        byte ignored;
        return LibC.recv(_fd, &ignored, 1, LibC.MSG_PEEK | LibC.MSG_DONTWAIT) < 0
            && Marshal.GetLastPInvokeError() == LibC.EAGAIN;
    }

    /// <inheritdoc/>
    public void Stop()
    {
        lock (_gate)
        {
            if (!_closed)
                _ = LibC.shutdown(_fd, LibC.SHUT_RDWR);
        }
    }

    /// <summary>Closes; only the thread that uses the socket may.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
        }

        _connection.Socket.SafeHandle.DangerousRelease();
        _connection.Abort();
    }

    /// <summary>Sends all of the memory by a point in time, see <see cref="EndOf"/>.</summary>
    public bool TrySend(byte* bytes, long length, long end)
    {
        while (length > 0 && Environment.TickCount64 < end)
        {
            nint sent = LibC.send(_fd, bytes, (nuint)Math.Min(length, MaxPiece), LibC.MSG_NOSIGNAL);
            if (sent < 0 && Marshal.GetLastPInvokeError() == LibC.EINTR)
                continue;
            if (sent <= 0)
                return false;
            bytes += sent;
            length -= sent;
        }

        return length == 0;
    }

    /// <summary>Fills all of the memory by a point in time, see <see cref="EndOf"/>.</summary>
    public long Receive(byte* bytes, long length, long end)
    {
        long received = 0;
        while (received < length && Environment.TickCount64 < end)
        {
            nint got = LibC.recv(_fd, bytes + received, (nuint)Math.Min(length - received, MaxPiece), 0);
            if (got < 0 && Marshal.GetLastPInvokeError() == LibC.EINTR)
                continue;
            if (got <= 0)
                break;
            received += got;
        }

        return received;
    }

    /// <summary>What is left of a message of which so much has been moved.</summary>
    private static void Skip(ref msghdr message, nint moved)
    {
        while (message.msg_iovlen > 0 && (nuint)moved >= message.msg_iov->iov_len)
        {
            moved -= (nint)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }

        if (message.msg_iovlen == 0)
            return;
        message.msg_iov->iov_base = (byte*)message.msg_iov->iov_base + moved;
        message.msg_iov->iov_len -= (nuint)moved;
    }

    /// <summary>When a transfer of so many bytes, begun now, is given up.</summary>
    public static long EndOf(long length) =>
        Environment.TickCount64 + (long)NoProgress.TotalMilliseconds + (length / Slowest * 1000);

    private bool MakeBlocking()
    {
        int flags = LibC.fcntl(_fd, LibC.F_GETFL, 0);
        if (flags < 0 || LibC.fcntl(_fd, LibC.F_SETFL, flags & ~LibC.O_NONBLOCK) < 0)
            return false;
        return TrySetPatience(NoProgress) && SetLimit(LibC.SO_SNDTIMEO, NoProgress);
    }

    private bool SetLimit(int option, TimeSpan limit)
    {
        var value = new timeval { tv_sec = (long)limit.TotalSeconds, tv_usec = limit.Milliseconds * 1000 };
        return LibC.setsockopt(_fd, LibC.SOL_SOCKET, option, &value, (uint)sizeof(timeval)) == 0;
    }
}
