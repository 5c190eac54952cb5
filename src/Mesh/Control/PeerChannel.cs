// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;
using System.Threading.Channels;
using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>One connection carrying many calls in both directions at once. Thread-safe.</summary>
/// <remarks>
/// The reader loop never awaits a write: an answer goes to the outgoing queue, in which every admitted request has a
/// place (at most <see cref="Wire.MaxOpenCalls"/> open each way). The writer coalesces what is queued into one send.
/// </remarks>
internal sealed class PeerChannel
{
    private const int CoalesceBytes = 128 * 1024;
    private static readonly MeshError ClosedError =
        new(MeshErrorCode.Unavailable, "channel", "the connection to the peer has broken");

    private static readonly MeshError TimedOut =
        new(MeshErrorCode.DeadlineExceeded, "channel", "no answer in time");

    private static readonly MeshError Cancelled =
        new(MeshErrorCode.Cancelled, "channel", "the caller cancelled");

    private static readonly MeshError TooManyBytes = new(MeshErrorCode.Busy, "channel",
        $"frames of {FrameBudget.MaxBytes} bytes wait to be sent here, the limit of one process");

    private readonly IPeerConnection _connection;
    private readonly FrameReader _reader;
    private readonly IPeerHandler _handler;
    private readonly MeshRuntime _runtime;
    private readonly Channel<FrameBuffer> _outgoing = Channel.CreateBounded<FrameBuffer>(
        new BoundedChannelOptions((2 * Wire.MaxOpenCalls) + 16) { SingleReader = true });

    private readonly Dictionary<ulong, PendingCall> _pending = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong _lastId;
    private int _answering;
    private bool _isClosed;
    private long _sendStarted;
    private int _unfinished;
    private long _unfinishedSince;

    public PeerChannel(IPeerConnection connection, FrameReader reader, Hello remote, IPeerHandler handler,
        MeshRuntime runtime)
    {
        _connection = connection;
        _reader = reader;
        _handler = handler;
        _runtime = runtime;
        Remote = remote;
        reader.Open();
        LastHeard = runtime.Time.GetTimestamp();
    }

    /// <summary>What the other side said of itself.</summary>
    public Hello Remote { get; }

    /// <summary>Whether calls can still be made.</summary>
    public bool IsOpen => !Volatile.Read(ref _isClosed);

    /// <summary>Ends when the connection has.</summary>
    public Task Closed => _closed.Task;

    /// <summary>When the last frame arrived (timestamp of the runtime's clock).</summary>
    public long LastHeard { get; private set; }

    /// <summary>
    /// Whether the other side has taken nothing, or not gone on with a frame it began, for <paramref name="limit"/>.
    /// Asked by one caller, several times within the limit.
    /// </summary>
    public bool IsStuck(TimeSpan limit)
    {
        long sending = Volatile.Read(ref _sendStarted);
        if (sending != 0 && _runtime.Time.GetElapsedTime(sending) > limit)
            return true;
        int unfinished = _reader.Unfinished;
        if (unfinished != _unfinished)
        {
            _unfinished = unfinished;
            _unfinishedSince = _runtime.Time.GetTimestamp();
        }

        return unfinished != 0 && _runtime.Time.GetElapsedTime(_unfinishedSince) > limit;
    }

    /// <summary>Starts reading and writing.</summary>
    public void Start()
    {
        _ = _runtime.Start(ReadLoopAsync);
        _ = _runtime.Start(WriteLoopAsync);
    }

    /// <summary>Asks the peer and waits for its answer until <paramref name="timeout"/>.</summary>
    public Task<MeshResult<TAnswer>> CallAsync<TRequest, TAnswer>(in TRequest request, TimeSpan timeout,
        CancellationToken cancel)
        where TRequest : IWireRequest<TRequest, TAnswer>
        where TAnswer : IWireMessage<TAnswer>
    {
        var call = new PendingCall<TAnswer>();
        ulong id;
        lock (_pending)
        {
            if (_isClosed)
                return Task.FromResult<MeshResult<TAnswer>>(ClosedError);
            if (_pending.Count >= Wire.MaxOpenCalls)
            {
                return Task.FromResult<MeshResult<TAnswer>>(new MeshError(MeshErrorCode.Busy, "channel",
                    $"{_pending.Count} calls are open to this peer; the limit is {Wire.MaxOpenCalls}"));
            }

            id = ++_lastId;
            _pending.Add(id, call);
        }

        FrameBuffer frame;
        try
        {
            frame = FrameBuffer.Of(TRequest.Type, id, request);
        }
        catch (WireException e)
        {
            Forget(id);
            return Task.FromResult<MeshResult<TAnswer>>(
                new MeshError(MeshErrorCode.InvalidArgument, "channel", e.Message));
        }

        bool fits = _handler.Budget.TryTake(frame.Bytes.Length);
        if (!fits || !_outgoing.Writer.TryWrite(frame))
        {
            if (fits)
                LetGo(frame);
            else
                frame.Return();
            Forget(id);
            return Task.FromResult<MeshResult<TAnswer>>(fits ? ClosedError : TooManyBytes);
        }

        return AwaitAsync(call, id, timeout, cancel);
    }

    /// <summary>Closes at once; open calls fail.</summary>
    public void Abort()
    {
        _connection.Abort();
        Close();
    }

    private async Task<MeshResult<TAnswer>> AwaitAsync<TAnswer>(PendingCall<TAnswer> call, ulong id, TimeSpan timeout,
        CancellationToken cancel)
        where TAnswer : IWireMessage<TAnswer>
    {
        using var timer = _runtime.Time.CreateTimer(static state => ((PendingCall)state!).Fail(TimedOut), call, timeout,
            Timeout.InfiniteTimeSpan);
        using var registration = cancel.UnsafeRegister(static state => ((PendingCall)state!).Fail(Cancelled), call);
        var result = await call.Task;
        if (ReferenceEquals(result.Error, Cancelled))
            Forget(id);
        if (!ReferenceEquals(result.Error, TimedOut))
            return result;
        Forget(id);
        return new MeshError(MeshErrorCode.DeadlineExceeded, "channel",
            $"no answer from {Name} within {timeout.TotalMilliseconds:0} ms");
    }

    private string Name => Remote.NodeId.Length > 0 ? Remote.NodeId : _connection.RemoteEndpoint;

    private void Forget(ulong id)
    {
        lock (_pending)
            _pending.Remove(id);
    }

    private async Task ReadLoopAsync()
    {
        try
        {
            while (true)
            {
                var frame = await _reader.ReadAsync(_stop.Token);
                if (frame.IsEmpty)
                    break;
                do
                {
                    LastHeard = _runtime.Time.GetTimestamp();
                    Take(frame);
                }
                while (_reader.TryTake(out frame));
            }
        }
        catch (Exception e) when (e is (IOException and not EndOfStreamException) or OperationCanceledException
            or ObjectDisposedException)
        {
            // The connection has broken; Close tells those who wait.
        }
        catch (Exception e)
        {
            _handler.Garbage(this, e.Message);
        }
        finally
        {
            _connection.Abort();
            Close();
            _reader.Dispose();
        }
    }

    private void Take(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        Wire.Enter(ref reader, 3);
        var type = (MessageType)reader.ReadInt32();
        ulong id = reader.ReadUInt64();
        _handler.Heard(this);
        if (type is MessageType.Answer or MessageType.Failure)
        {
            PendingCall? call;
            lock (_pending)
            {
                if (!_pending.Remove(id, out call))
                    return;
            }

            call.Complete(type == MessageType.Failure, ref reader);
            return;
        }

        if (Interlocked.Increment(ref _answering) > Wire.MaxOpenCalls)
            throw new WireException($"more than {Wire.MaxOpenCalls} open calls");
        _handler.Handle(this, type, id, frame, ref reader);
    }

    /// <summary>Queues the answer to a request; each request gets exactly one.</summary>
    public void Answer<T>(ulong id, in T message)
        where T : IWireMessage<T> => Queue(MessageType.Answer, id, message);

    /// <summary>Queues a refusal.</summary>
    public void Refuse(ulong id, Failure failure) => Queue(MessageType.Failure, id, failure);

    private void Queue<T>(MessageType type, ulong id, in T message)
        where T : IWireMessage<T>
    {
        Interlocked.Decrement(ref _answering);
        FrameBuffer frame;
        try
        {
            frame = FrameBuffer.Of(type, id, message);
        }
        catch (WireException e)
        {
            frame = FrameBuffer.Of(MessageType.Failure, id, new Failure(MeshErrorCode.Protocol, "answer", e.Message));
        }

        if (!_handler.Budget.TryTake(frame.Bytes.Length))
        {
            frame.Return();
            frame = FrameBuffer.Of(MessageType.Failure, id,
                new Failure(TooManyBytes.Code, TooManyBytes.Stage, TooManyBytes.Message));
        }

        if (!_outgoing.Writer.TryWrite(frame))
            LetGo(frame);
    }

    private void LetGo(FrameBuffer frame)
    {
        _handler.Budget.Return(frame.Bytes.Length);
        frame.Return();
    }

    private async Task WriteLoopAsync()
    {
        byte[] batch = ArrayPool<byte>.Shared.Rent(CoalesceBytes);
        try
        {
            while (await _outgoing.Reader.WaitToReadAsync(_stop.Token))
            {
                int length = 0;
                while (_outgoing.Reader.TryRead(out var frame))
                {
                    try
                    {
                        if (length + frame.Bytes.Length > batch.Length)
                        {
                            await SendAsync(batch.AsMemory(0, length));
                            length = 0;
                        }

                        if (frame.Bytes.Length > batch.Length)
                            await SendAsync(frame.Bytes);
                        else
                            length = Append(batch, length, frame);
                    }
                    finally
                    {
                        LetGo(frame);
                    }
                }

                await SendAsync(batch.AsMemory(0, length));
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The connection has broken; the reader loop sees it too.
        }
        finally
        {
            Abort();
            ArrayPool<byte>.Shared.Return(batch);
            while (_outgoing.Reader.TryRead(out var frame))
                LetGo(frame);
        }
    }

    private static int Append(byte[] batch, int length, FrameBuffer frame)
    {
        frame.Bytes.Span.CopyTo(batch.AsSpan(length));
        return length + frame.Bytes.Length;
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.IsEmpty)
            return;
        Volatile.Write(ref _sendStarted, _runtime.Time.GetTimestamp());
        await _connection.SendAsync(bytes, _stop.Token);
        Volatile.Write(ref _sendStarted, 0);
    }

    private void Close()
    {
        PendingCall[] open;
        lock (_pending)
        {
            if (_isClosed)
                return;
            _isClosed = true;
            open = [.. _pending.Values];
            _pending.Clear();
        }

        _outgoing.Writer.TryComplete();
        _stop.Cancel();
        foreach (var call in open)
            call.Fail(ClosedError);
        _closed.TrySetResult();
    }

    private abstract class PendingCall
    {
        public abstract void Complete(bool failed, ref MessagePackReader reader);

        public abstract void Fail(MeshError error);
    }

    private sealed class PendingCall<TAnswer> : PendingCall
        where TAnswer : IWireMessage<TAnswer>
    {
        private readonly TaskCompletionSource<MeshResult<TAnswer>> _source =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<MeshResult<TAnswer>> Task => _source.Task;

        public override void Complete(bool failed, ref MessagePackReader reader)
        {
            try
            {
                _source.TrySetResult(failed ? Failure.Read(ref reader).ToError() : TAnswer.Read(ref reader));
            }
            catch (Exception e)
            {
                Fail(new MeshError(MeshErrorCode.Protocol, "channel", "the answer cannot be read: " + e.Message));
                throw;
            }
        }

        public override void Fail(MeshError error) => _source.TrySetResult(error);
    }
}

/// <summary>
/// Where a channel's requests go. Called on the reader loop, which it must not hold up: what is answered at once is
/// answered here, anything that has to wait is started and answers later.
/// </summary>
internal interface IPeerHandler
{
    /// <summary>
    /// A request; exactly one Answer or Refuse follows. <paramref name="frame"/> is valid until return.
    /// </summary>
    void Handle(PeerChannel channel, MessageType type, ulong id, ReadOnlyMemory<byte> frame,
        ref MessagePackReader reader);

    /// <summary>Bounds the frames that wait to be sent.</summary>
    FrameBudget Budget { get; }

    /// <summary>A frame arrived: the peer is alive.</summary>
    void Heard(PeerChannel channel);

    /// <summary>The peer sent what is no message of ours; the connection is being closed.</summary>
    void Garbage(PeerChannel channel, string reason);
}
