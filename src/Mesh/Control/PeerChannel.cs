// SPDX-License-Identifier: Apache-2.0

// On the data path.
using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>One connection carrying many calls in both directions at once. Thread-safe.</summary>
/// <remarks>
/// The reader loop never awaits a write: an answer goes to the outgoing queue, in which every admitted request has a
/// place (at most <see cref="Wire.MaxOpenCalls"/> open each way).
/// </remarks>
internal sealed class PeerChannel
{
    private static readonly MeshError ClosedError =
        new(MeshErrorCode.Unavailable, "channel", "the connection to the peer has broken");

    private static readonly MeshError TooManyBytes = new(MeshErrorCode.Busy, "channel",
        $"frames of {FrameBudget.MaxBytes} bytes wait to be sent here, the limit of one process");

    private MeshError _closing = ClosedError;
    private readonly IPeerConnection _connection;
    private readonly FrameReader _reader;
    private readonly IPeerHandler _handler;
    private readonly MeshRuntime _runtime;
    private readonly Outbox _outbox;
    private readonly PendingCalls _pending;
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _answering;
    private int _isClosed;
    private int _unfinished;
    private long _unfinishedSince;

    public PeerChannel(IPeerConnection connection, FrameReader reader, Hello remote, IPeerHandler handler,
        MeshRuntime runtime)
    {
        _connection = connection;
        _reader = reader;
        _handler = handler;
        _runtime = runtime;
        _outbox = new Outbox(connection, runtime, _stop.Token, Abort);
        _pending = new PendingCalls(runtime.Time, FailLate);
        Remote = remote;
        Version = Math.Min(Wire.VersionMax, remote.WireMax);
        reader.Open();
        LastHeard = runtime.Time.GetTimestamp();
    }

    /// <summary>What the other side said of itself.</summary>
    public Hello Remote { get; }

    /// <summary>The wire version that both sides speak.</summary>
    public int Version { get; init; }

    /// <summary>Whether calls can still be made.</summary>
    public bool IsOpen => Volatile.Read(ref _isClosed) == 0;

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
        long sending = _outbox.SendStarted;
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

    /// <summary>
    /// After how long without a sign a silent peer is left, with all that has not reached it yet: what its caller has
    /// given up must not be done when a cut link is whole again.
    /// </summary>
    public TimeSpan LeaveAfter { get; init; } = SilentAfter;

    /// <summary>Shortest time without a sign after which a peer passes for silent.</summary>
    public static readonly TimeSpan SilentAfter = TimeSpan.FromMilliseconds(400);

    /// <summary>Told of a call that got no answer in time while the peer sent nothing at all.</summary>
    public Action<MeshError>? OnSilent { get; set; }

    /// <summary>Whether a call waits for its answer.</summary>
    public bool AwaitsAnswer() => _pending.Any;

    /// <summary>Starts reading.</summary>
    public void Start() => _ = _runtime.Start(ReadLoopAsync);

    /// <summary>Asks the peer and waits for its answer until <paramref name="timeout"/>.</summary>
    /// <param name="request">The question.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="cancel">Ends the wait.</param>
    /// <param name="goOn">Whether the caller goes on upon the reader loop; see <see cref="PendingCall{T}"/>.</param>
    public Task<MeshResult<TAnswer>> CallAsync<TRequest, TAnswer>(in TRequest request, TimeSpan timeout,
        CancellationToken cancel, bool goOn = false)
        where TRequest : IWireRequest<TRequest, TAnswer>
        where TAnswer : IWireMessage<TAnswer>
    {
        var call = new PendingCall<TAnswer>(goOn);
        ulong id = _pending.Add(call, timeout, cancel, ClosedError, out var error);
        if (error is not null)
            return Task.FromResult<MeshResult<TAnswer>>(error);
        try
        {
            var frame = FrameBuffer.Of(TRequest.Type, id, request, Version);
            if (!frame.TryCharge(_handler.Budget))
                error = TooManyBytes;
            else if (_outbox.TryPost(frame))
                return call.Task;
            else
                error = ClosedError;
        }
        catch (WireException e)
        {
            error = new MeshError(MeshErrorCode.InvalidArgument, "channel", e.Message);
        }

        _pending.Take(id)?.Fail(error);
        return call.Task;
    }

    /// <summary>Closes at once; open calls fail.</summary>
    public void Abort()
    {
        _connection.Abort();
        Close();
    }

    private void FailLate(PendingCall call)
    {
        var error = new MeshError(MeshErrorCode.DeadlineExceeded, "channel",
            $"no answer from {Name} within {call.Timeout.TotalMilliseconds:0} ms");
        // A call that had little time says little: the answer may be on its way.
        bool silent = LastHeard < call.Asked && call.Timeout >= SilentAfter;
        if (silent)
            OnSilent?.Invoke(error);
        call.Fail(error);
        if (LastHeard >= call.Asked || call.Timeout < LeaveAfter)
            return;
        // Who waits with it must not take this for the peer's end.
        _closing = error;
        Abort();
    }

    private string Name => Remote.NodeId.Length > 0 ? Remote.NodeId : _connection.RemoteEndpoint;

    private async Task ReadLoopAsync()
    {
        try
        {
            while (true)
            {
                var frame = await _reader.ReadAsync(_stop.Token);
                if (frame.IsEmpty)
                    break;
                LastHeard = _runtime.Time.GetTimestamp();
                _outbox.Cork();
                do
                {
                    Take(frame);
                }
                while (_reader.TryTake(out frame));
                _outbox.Uncork();
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
            _pending.Take(id)?.Complete(type == MessageType.Failure, ref reader);
            return;
        }

        if (Interlocked.Increment(ref _answering) > Wire.MaxOpenCalls)
            throw new WireException($"more than {Wire.MaxOpenCalls} open calls");
        _handler.Handle(this, type, id, frame, ref reader);
    }

    /// <summary>Queues the answer to a request; each request gets exactly one.</summary>
    public void Answer<T>(ulong id, in T message)
        where T : IWireMessage<T> => Queue(MessageType.Answer, id, message);

    /// <summary>Queues an answer written by hand, begun by <see cref="FrameBuffer.Begin"/>.</summary>
    public void Answer(ulong id, FrameBuffer frame, ref MessagePackWriter writer)
    {
        frame.End(ref writer);
        Interlocked.Decrement(ref _answering);
        Post(id, frame);
    }

    /// <summary>Queues a refusal.</summary>
    public void Refuse(ulong id, Failure failure) => Queue(MessageType.Failure, id, failure);

    private void Queue<T>(MessageType type, ulong id, in T message)
        where T : IWireMessage<T>
    {
        Interlocked.Decrement(ref _answering);
        FrameBuffer frame;
        try
        {
            frame = FrameBuffer.Of(type, id, message, Version);
        }
        catch (WireException e)
        {
            frame = FrameBuffer.Of(MessageType.Failure, id, new Failure(MeshErrorCode.Protocol, "answer", e.Message));
        }

        Post(id, frame);
    }

    private void Post(ulong id, FrameBuffer answer)
    {
        if (!answer.TryCharge(_handler.Budget))
        {
            answer = FrameBuffer.Of(MessageType.Failure, id,
                new Failure(TooManyBytes.Code, TooManyBytes.Stage, TooManyBytes.Message));
        }

        _outbox.TryPost(answer);
    }

    private void Close()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) != 0)
            return;
        _stop.Cancel();
        _outbox.Close();
        foreach (var call in _pending.Close())
            call.Fail(_closing);
        _closed.TrySetResult();
    }
}

/// <summary>
/// Where a channel's requests go. Called on the reader loop, which it must not hold up: what is answered at once is
/// answered here, anything that has to wait is started and answers later.
/// </summary>
internal interface IPeerHandler
{
    /// <summary>Whether connections of a lane are channels of its.</summary>
    bool Serves(Lane lane) => true;

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
