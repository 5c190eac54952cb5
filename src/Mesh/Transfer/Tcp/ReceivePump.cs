// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// A thread that receives for one connection: it waits in the kernel and goes on with the reader itself. A frame then
/// wakes one thread; through the runtime's poller it wakes two, which is most of what a small call takes. Benchmark:
/// "mooncake-mesh bench store".
/// </summary>
internal sealed class ReceivePump : IValueTaskSource<int>
{
    private const int StackBytes = 256 * 1024;
    private readonly Lock _gate = new();
    private readonly Socket _socket;
    private readonly int _flags;
    private readonly Action _ended;
    private ManualResetValueTaskSourceCore<int> _core;
    private Memory<byte> _buffer;
    private CancellationToken _cancel;
    private ThreadSignals _sleeping;
    private bool _wanted;
    private bool _retired;

    /// <param name="socket">Connected, and never used through the runtime's poller before.</param>
    /// <param name="ended">Called once, when the thread has ended.</param>
    public ReceivePump(Socket socket, Action ended)
    {
        _socket = socket;
        // A thread that sleeps in recv on a Unix socket is woken too when the other side has read what was sent to it;
        // one that sleeps in poll is woken only by what has come.
        _flags = socket.AddressFamily == AddressFamily.Unix ? LibC.MSG_DONTWAIT : 0;
        _ended = ended;
        var thread = new Thread(Run, StackBytes) { IsBackground = true, Name = "mesh receive" };
        thread.Start();
    }

    /// <summary>Receives at least one byte; 0 when the other side has closed. One call at a time.</summary>
    /// <remarks>A receive that is cancelled ends the connection's incoming side for good.</remarks>
    public ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        ThreadSignal? woken;
        ValueTask<int> received;
        lock (_gate)
        {
            if (_retired)
                return ValueTask.FromException<int>(new ObjectDisposedException(nameof(ReceivePump)));
            _core.Reset();
            _buffer = buffer;
            _cancel = cancel;
            _wanted = true;
            woken = _sleeping.TakeOne();
            received = new ValueTask<int>(this, _core.Version);
        }

        woken?.Set();
        return received;
    }

    /// <summary>Ends the thread; one that is receiving ends when the socket is shut down.</summary>
    public void Retire()
    {
        lock (_gate)
        {
            _retired = true;
            _sleeping.SetAll();
        }
    }

    int IValueTaskSource<int>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _core.OnCompleted(continuation, state, token, flags);

    private void Run()
    {
        ReceiverScheduler.Adopt();
        while (WaitUntilWanted())
            ReceiveOne();
        _ended();
    }

    /// <summary>False: it is retired.</summary>
    private bool WaitUntilWanted()
    {
        var signal = ThreadSignal.Own;
        while (true)
        {
            lock (_gate)
            {
                if (_wanted)
                {
                    _wanted = false;
                    return true;
                }

                if (_retired)
                    return false;
                _sleeping.Add(signal);
            }

            signal.Wait(Timeout.InfiniteTimeSpan);
        }
    }

    private void ReceiveOne()
    {
        int received = -1;
        Exception? failure = null;
        try
        {
            using var registration = _cancel.UnsafeRegister(static pump => ((ReceivePump)pump!).ShutDown(), this);
            received = Receive();
            if (received <= 0)
                _cancel.ThrowIfCancellationRequested();
            if (received < 0)
                failure = new PeerNetworkException(Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError()));
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            failure = e;
        }

        _buffer = default;
        _cancel = default;
        // What comes after runs here, and may ask for more.
        if (failure is null)
            _core.SetResult(received);
        else
            _core.SetException(failure);
        ReceiverScheduler.TakeSteps();
    }

    private unsafe int Receive()
    {
        // Only while the kernel works on it: whoever disposes the socket waits for this.
        bool held = false;
        var handle = _socket.SafeHandle;
        try
        {
            handle.DangerousAddRef(ref held);
            int fd = (int)handle.DangerousGetHandle();
            fixed (byte* bytes = _buffer.Span)
            {
                while (true)
                {
                    nint got = LibC.recv(fd, bytes, (nuint)_buffer.Length, _flags);
                    if (got >= 0)
                        return (int)got;
                    int error = Marshal.GetLastPInvokeError();
                    if (error == LibC.EAGAIN)
                        WaitForInput(fd);
                    else if (error != LibC.EINTR)
                        return -1;
                }
            }
        }
        finally
        {
            if (held)
                handle.DangerousRelease();
        }
    }

    /// <summary>For a Unix socket, and one that a slow send has made non-blocking.</summary>
    private static unsafe void WaitForInput(int fd)
    {
        var poll = new pollfd { fd = fd, events = LibC.POLLIN };
        _ = LibC.poll(&poll, 1, -1);
    }

    private void ShutDown()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Receive);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Broken or closed already: the receive has ended by itself.
        }
    }
}
