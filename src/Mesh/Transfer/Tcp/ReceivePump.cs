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
/// <remarks>
/// Where only answers come, it lends the connection to the threads that look for theirs (see <see cref="Looker"/>) and
/// sleeps, as long as they come again soon; then a frame wakes none. Whoever sends and does not look, and the last who
/// stops looking before the answer is there, has the thread go on; what comes unasked for waits until the thread looks.
/// </remarks>
internal sealed class ReceivePump : IValueTaskSource<int>
{
    private const int StackBytes = 256 * 1024;

    private readonly Lock _gate = new();
    private readonly Socket _socket;
    private readonly int _flags;
    private readonly Action _ended;
    private readonly TimeSpan _lentFor;
    private ManualResetValueTaskSourceCore<int> _core;
    private Memory<byte> _buffer;
    private CancellationToken _cancel;
    private ThreadSignals _sleeping;
    private Func<bool>? _awaitsAnswer;
    private volatile Turn _turn;
    private int _lookers;
    private bool _looked;
    private bool _wanted;
    private bool _retired;

    /// <param name="socket">Connected, and never used through the runtime's poller before.</param>
    /// <param name="ended">Called once, when the thread has ended.</param>
    /// <param name="lentFor">How long it sleeps, while it has lent the connection, before it looks whether anybody has
    /// looked meanwhile.</param>
    public ReceivePump(Socket socket, Action ended, TimeSpan lentFor)
    {
        _lentFor = lentFor;
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
            woken = _turn == Turn.Own ? _sleeping.TakeOne() : null;
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

    /// <summary>Nothing comes but answers; says whether one is awaited.</summary>
    public void LendTo(Func<bool> awaitsAnswer) => Volatile.Write(ref _awaitsAnswer, awaitsAnswer);

    /// <summary>Somebody has sent who does not look: its answer is to be received.</summary>
    public void Resume()
    {
        Interlocked.MemoryBarrier();
        if (_turn != Turn.Own)
            Pass(Turn.Lent, lookers: 0);
    }

    /// <summary>The calling thread looks for an answer; <see cref="EndLook"/> follows.</summary>
    public void BeginLook() => Interlocked.Increment(ref _lookers);

    /// <summary>Whether the calling thread receives from now on.</summary>
    public bool TryTake()
    {
        if (_turn != Turn.Lent)
            return false;
        lock (_gate)
        {
            if (_turn != Turn.Lent || !_wanted || _retired)
                return false;
            _turn = Turn.Taken;
            _looked = true;
            return true;
        }
    }

    /// <summary>By whoever has taken it: receives what is there, and goes on with the reader; whether it did.</summary>
    /// <param name="has">False: it has the connection no longer.</param>
    public bool TryReceive(ref bool has)
    {
        if (!TryReceive(LibC.MSG_DONTWAIT, out int received, out var failure))
            return false;
        Deliver(received, failure);
        lock (_gate)
            has = _wanted && !_retired;
        if (!has)
            Pass(Turn.Taken, lookers: 0);
        return true;
    }

    /// <summary>The calling thread looks no longer.</summary>
    /// <param name="has">Whether it has taken the connection.</param>
    public void EndLook(bool has) => Pass(has ? Turn.Taken : Turn.Lent, lookers: -1);

    int IValueTaskSource<int>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _core.OnCompleted(continuation, state, token, flags);

    /// <summary>Lends the connection on, or gives it back to the thread if nobody would receive what is due.</summary>
    /// <param name="from">Whose it was: nothing is done if it is another's.</param>
    /// <param name="lookers">How many more look.</param>
    private void Pass(Turn from, int lookers)
    {
        ThreadSignal? woken = null;
        lock (_gate)
        {
            _ = Interlocked.Add(ref _lookers, lookers);
            if (_turn != from)
                return;
            _turn = Turn.Lent;
            // Whoever notes a call and sends it sees that this is lent, or this sees the call.
            Interlocked.MemoryBarrier();
            if (_retired || !_wanted || (_lookers == 0 && _awaitsAnswer!()))
            {
                _turn = Turn.Own;
                woken = _sleeping.TakeOne();
            }
        }

        woken?.Set();
    }

    private void Run()
    {
        ReceiverScheduler.Adopt(new Queue<Task>());
        while (WaitUntilWanted())
            ReceiveOne();
        _ended();
    }

    /// <summary>False: it is retired.</summary>
    private bool WaitUntilWanted()
    {
        var signal = ThreadSignal.Own;
        bool isOver = false;
        while (true)
        {
            TimeSpan limit;
            lock (_gate)
            {
                _sleeping.Remove(signal);
                if (_turn == Turn.Lent && (_retired || (isOver && !_looked)))
                    _turn = Turn.Own;
                if (isOver)
                    _looked = false;
                if (_turn == Turn.Own && (_wanted || _retired))
                    return _wanted;
                _sleeping.Add(signal);
                limit = _turn == Turn.Own ? Timeout.InfiniteTimeSpan : _lentFor;
            }

            isOver = !signal.Wait(limit);
        }
    }

    private void ReceiveOne()
    {
        int received;
        Exception? failure;
        try
        {
            using var registration = _cancel.UnsafeRegister(static pump => ((ReceivePump)pump!).ShutDown(), this);
            while (!TryReceive(_flags, out received, out failure))
                WaitForInput();
            if (received <= 0)
                _cancel.ThrowIfCancellationRequested();
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            (received, failure) = (0, e);
        }

        // Who looks for an answer now will look for the next one.
        bool isLooked = Volatile.Read(ref _lookers) > 0 && Volatile.Read(ref _awaitsAnswer) is not null;
        Deliver(received, failure);
        if (isLooked)
            Lend();
    }

    private void Lend()
    {
        lock (_gate)
            _looked = true;
        Pass(Turn.Own, lookers: 0);
    }

    private void Deliver(int received, Exception? failure)
    {
        _buffer = default;
        _cancel = default;
        _wanted = false;
        // What comes after runs here, and may ask for more.
        if (failure is null)
            _core.SetResult(received);
        else
            _core.SetException(failure);
        ReceiverScheduler.TakeSteps();
    }

    /// <summary>False: nothing is there, and the socket does not block or was not to.</summary>
    private unsafe bool TryReceive(int flags, out int received, out Exception? failure)
    {
        (received, failure) = (0, null);
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
                    nint got = LibC.recv(fd, bytes, (nuint)_buffer.Length, flags);
                    int error = got < 0 ? Marshal.GetLastPInvokeError() : 0;
                    if (error == LibC.EAGAIN)
                        return false;
                    if (error == LibC.EINTR)
                        continue;
                    received = (int)got;
                    if (got < 0)
                        failure = new PeerNetworkException(Marshal.GetPInvokeErrorMessage(error));
                    return true;
                }
            }
        }
        catch (ObjectDisposedException e)
        {
            failure = e;
            return true;
        }
        finally
        {
            if (held)
                handle.DangerousRelease();
        }
    }

    /// <summary>For a Unix socket, and one that a slow send has made non-blocking.</summary>
    private unsafe void WaitForInput()
    {
        bool held = false;
        var handle = _socket.SafeHandle;
        try
        {
            handle.DangerousAddRef(ref held);
            var poll = new pollfd { fd = (int)handle.DangerousGetHandle(), events = LibC.POLLIN };
            _ = LibC.poll(&poll, 1, -1);
        }
        finally
        {
            if (held)
                handle.DangerousRelease();
        }
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

    /// <summary>Whose it is to receive.</summary>
    private enum Turn
    {
        /// <summary>The thread's.</summary>
        Own,

        /// <summary>Whoever looks first; the thread sleeps.</summary>
        Lent,

        /// <summary>A looking thread's.</summary>
        Taken,
    }
}
