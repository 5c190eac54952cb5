// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>Which connections of a network have a thread of their own to receive; thread-safe.</summary>
internal sealed class PumpBudget
{
    /// <summary>Most threads; connections beyond receive through the runtime's poller.</summary>
    public const int Most = 256;

    private int _taken;

    /// <summary>How long the thread of a connection sleeps while others receive from it; see its pump.</summary>
    public TimeSpan LentFor { get; set; } = TimeSpan.FromMilliseconds(5);

    /// <summary>How many there are.</summary>
    public int Taken => Volatile.Read(ref _taken);

    /// <summary>Whether one more may be made; if so <see cref="Return"/> follows.</summary>
    public bool TryTake()
    {
        if (Interlocked.Increment(ref _taken) <= Most)
            return true;
        Interlocked.Decrement(ref _taken);
        return false;
    }

    /// <summary>One has ended.</summary>
    public void Return() => Interlocked.Decrement(ref _taken);
}

/// <summary>
/// A connected socket. It sends on the caller's thread as long as the kernel takes the bytes at once, and receives on a
/// thread of its own, as long as there are few connections.
/// </summary>
internal sealed class SocketConnection : IPeerConnection
{
    private readonly Socket _socket;
    private readonly ReceivePump? _pump;

    public SocketConnection(Socket socket, string remote, PumpBudget pumps)
    {
        _socket = socket;
        RemoteEndpoint = remote;
        if (!pumps.TryTake())
            return;
        SetNonBlocking(false);
        _pump = new ReceivePump(socket, pumps.Return, pumps.LentFor);
    }

    /// <summary>The socket itself, for those who took the connection over.</summary>
    public Socket Socket => _socket;

    /// <inheritdoc/>
    public string RemoteEndpoint { get; }

    /// <summary>Whoever calls this receives from the socket itself from now on.</summary>
    public void TakeOver() => _pump?.Retire();

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        try
        {
            int sent = _pump is null ? 0 : SendNow(bytes.Span);
            if (_pump is not null)
                Looker.Sent(_pump);
            return sent == bytes.Length ? ValueTask.CompletedTask : SendRestAsync(bytes[sent..], cancel);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            return ValueTask.FromException(e);
        }
    }

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel) =>
        _pump is null ? PollAsync(buffer, cancel) : _pump.ReceiveAsync(buffer, cancel);

    /// <inheritdoc/>
    public void BringsAnswersAlone(Func<bool> awaitsAnswer) => _pump?.LendTo(awaitsAnswer);

    /// <inheritdoc/>
    public void Abort()
    {
        _pump?.Retire();
        _socket.Dispose();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        Abort();
        return ValueTask.CompletedTask;
    }

    /// <summary>Sends what the kernel takes at once; how much that was.</summary>
    /// <exception cref="PeerNetworkException">The connection has broken.</exception>
    private unsafe int SendNow(ReadOnlySpan<byte> bytes)
    {
        bool held = false;
        var handle = _socket.SafeHandle;
        try
        {
            handle.DangerousAddRef(ref held);
            int fd = (int)handle.DangerousGetHandle();
            int done = 0;
            fixed (byte* first = bytes)
            {
                while (done < bytes.Length)
                {
                    nint sent = LibC.send(fd, first + done, (nuint)(bytes.Length - done),
                        LibC.MSG_DONTWAIT | LibC.MSG_NOSIGNAL);
                    int error = sent < 0 ? Marshal.GetLastPInvokeError() : 0;
                    if (sent >= 0)
                        done += (int)sent;
                    else if (error == LibC.EAGAIN)
                        return done;
                    else if (error != LibC.EINTR)
                        throw new PeerNetworkException(Marshal.GetPInvokeErrorMessage(error));
                }
            }

            return done;
        }
        finally
        {
            if (held)
                handle.DangerousRelease();
        }
    }

    /// <summary>Sends through the runtime's poller, which expects a socket that does not block.</summary>
    private async ValueTask SendRestAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        SetNonBlocking(true);
        try
        {
            while (!bytes.IsEmpty)
            {
                int sent = await _socket.SendAsync(bytes, SocketFlags.None, cancel);
                bytes = bytes[sent..];
            }
        }
        catch (SocketException e)
        {
            throw new PeerNetworkException(e.Message, e);
        }
    }

    private async ValueTask<int> PollAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        try
        {
            return await _socket.ReceiveAsync(buffer, SocketFlags.None, cancel);
        }
        catch (SocketException e)
        {
            throw new PeerNetworkException(e.Message, e);
        }
    }

    private void SetNonBlocking(bool value)
    {
        bool held = false;
        var handle = _socket.SafeHandle;
        try
        {
            handle.DangerousAddRef(ref held);
            int fd = (int)handle.DangerousGetHandle();
            nint flags = LibC.fcntl(fd, LibC.F_GETFL, 0);
            _ = LibC.fcntl(fd, LibC.F_SETFL, value ? flags | LibC.O_NONBLOCK : flags & ~LibC.O_NONBLOCK);
        }
        catch (ObjectDisposedException)
        {
            // Closed meanwhile: what comes next says so.
        }
        finally
        {
            if (held)
                handle.DangerousRelease();
        }
    }
}
