// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;
using System.Threading.Channels;

namespace Mooncake.Mesh.Control;

/// <summary>
/// The outgoing frames of one connection: a bounded queue, coalesced into few sends. Whoever posts to an idle
/// connection sends at once, on its own thread, which saves a step through the scheduler; nobody ever waits for a
/// send. Thread-safe.
/// </summary>
internal sealed class Outbox
{
    /// <summary>Frames that wait: a call or answer for each that may be open, either way, and a few.</summary>
    public const int MostWaiting = (2 * Wire.MaxOpenCalls) + 16;

    private const int CoalesceBytes = 128 * 1024;

    /// <summary>Sends one poster makes; what is queued beyond that goes on in the background.</summary>
    private const int SendsPerPoster = 8;

    private readonly IPeerConnection _connection;
    private readonly MeshRuntime _runtime;
    private readonly CancellationToken _stop;
    private readonly Action _broken;
    private readonly Channel<FrameBuffer> _queue = Channel.CreateBounded<FrameBuffer>(
        new BoundedChannelOptions(MostWaiting) { SingleReader = true });

    private int _sending;
    private int _corked;
    private long _sendStarted;

    /// <param name="connection">Where the frames go.</param>
    /// <param name="runtime">Clock and scheduler.</param>
    /// <param name="stop">Ends a send that is under way.</param>
    /// <param name="broken">Told that a send failed, or that a frame found no place.</param>
    public Outbox(IPeerConnection connection, MeshRuntime runtime, CancellationToken stop, Action broken)
    {
        _connection = connection;
        _runtime = runtime;
        _stop = stop;
        _broken = broken;
    }

    /// <summary>Since when one send has been stuck (timestamp of the runtime's clock), or 0.</summary>
    public long SendStarted => Volatile.Read(ref _sendStarted);

    /// <summary>
    /// Queues a frame and sends it if nobody is sending; false when the connection has been closed. It is, when the
    /// queue is full: the other side takes none of its answers.
    /// </summary>
    public bool TryPost(FrameBuffer frame)
    {
        if (!_queue.Writer.TryWrite(frame))
        {
            frame.Return();
            _broken();
            return false;
        }

        // Either we see the cork and leave the frame to the reader, or its Uncork sees the frame.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _corked) == 0)
            Flush();
        return true;
    }

    /// <summary>
    /// Holds frames back until <see cref="Uncork"/>: the answers to a burst of requests go in one send.
    /// </summary>
    public void Cork() => Volatile.Write(ref _corked, 1);

    /// <summary>Sends what was held back.</summary>
    public void Uncork()
    {
        Volatile.Write(ref _corked, 0);
        Interlocked.MemoryBarrier();
        if (_queue.Reader.TryPeek(out _))
            Flush();
    }

    /// <summary>Takes no more frames and drops those not sent.</summary>
    public void Close()
    {
        _queue.Writer.TryComplete();
        // Whoever is sending drops the rest itself: the queue has one reader.
        if (Interlocked.CompareExchange(ref _sending, 1, 0) == 0)
            Drop();
    }

    private void Flush()
    {
        while (Interlocked.CompareExchange(ref _sending, 1, 0) == 0)
        {
            var drained = DrainAsync(SendsPerPoster);
            if (!drained.IsCompletedSuccessfully)
            {
                _ = GoOnAsync(drained);
                return;
            }

            if (drained.Result)
            {
                _ = _runtime.Start(() => GoOnAsync(ValueTask.FromResult(true)));
                return;
            }

            if (!Release())
                return;
        }
    }

    /// <summary>Lets others send; whether frames were queued in the meantime.</summary>
    private bool Release()
    {
        Volatile.Write(ref _sending, 0);
        Interlocked.MemoryBarrier();
        return _queue.Reader.TryPeek(out _);
    }

    private async Task GoOnAsync(ValueTask<bool> drained)
    {
        try
        {
            do
            {
                bool more = await drained;
                while (more)
                    more = await DrainAsync(int.MaxValue);
                drained = ValueTask.FromResult(true);
            }
            while (Release() && Interlocked.CompareExchange(ref _sending, 1, 0) == 0);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            _broken();
            _queue.Writer.TryComplete();
            Drop();
        }
    }

    /// <summary>Sends what is queued, in at most <paramref name="sends"/> sends; whether there may be more.</summary>
    private async ValueTask<bool> DrainAsync(int sends)
    {
        byte[]? batch = null;
        try
        {
            while (_queue.Reader.TryRead(out var frame))
            {
                if (!_queue.Reader.TryPeek(out var next)
                    || frame.Bytes.Length + next.Bytes.Length > CoalesceBytes)
                {
                    try
                    {
                        await SendAsync(frame.Bytes);
                    }
                    finally
                    {
                        frame.Return();
                    }
                }
                else
                {
                    batch ??= FramePool.Rent(CoalesceBytes);
                    await SendAsync(batch.AsMemory(0, Collect(batch, frame)));
                }

                if (--sends == 0)
                    return true;
            }

            return false;
        }
        finally
        {
            if (batch is not null)
                FramePool.Return(batch);
        }
    }

    private int Collect(byte[] batch, FrameBuffer frame)
    {
        int length = 0;
        while (true)
        {
            frame.Bytes.Span.CopyTo(batch.AsSpan(length));
            length += frame.Bytes.Length;
            frame.Return();
            if (!_queue.Reader.TryPeek(out var next) || length + next.Bytes.Length > CoalesceBytes
                || !_queue.Reader.TryRead(out frame!))
                return length;
        }
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        Volatile.Write(ref _sendStarted, _runtime.Time.GetTimestamp());
        await _connection.SendAsync(bytes, _stop);
        Volatile.Write(ref _sendStarted, 0);
    }

    private void Drop()
    {
        while (_queue.Reader.TryRead(out var frame))
            frame.Return();
    }
}
