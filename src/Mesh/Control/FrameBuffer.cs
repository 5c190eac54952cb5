// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;
using System.Buffers.Binary;
using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>One outgoing frame in a pooled array. Not thread-safe; returned to the pool by its one reader.</summary>
internal sealed class FrameBuffer : IBufferWriter<byte>
{
    private const int HeaderBytes = 4;
    private byte[] _array;
    private int _length;
    private FrameBudget? _charged;

    private FrameBuffer(int capacity) => _array = FramePool.Rent(capacity);

    /// <summary>The whole frame, its length word included.</summary>
    public ReadOnlyMemory<byte> Bytes => _array.AsMemory(0, _length);

    /// <summary>The frame without its length word.</summary>
    public ReadOnlyMemory<byte> Body => _array.AsMemory(HeaderBytes, _length - HeaderBytes);

    /// <summary>Starts a frame [type, id, body]: the body is written next.</summary>
    public static FrameBuffer Begin(MessageType type, ulong id, out MessagePackWriter writer)
    {
        var frame = new FrameBuffer(256) { _length = HeaderBytes };
        writer = new MessagePackWriter(frame);
        writer.WriteArrayHeader(3);
        writer.Write((int)type);
        writer.Write(id);
        return frame;
    }

    /// <summary>A whole frame with one message, as a wire version has it.</summary>
    public static FrameBuffer Of<T>(MessageType type, ulong id, in T message, int version = Wire.VersionMax)
        where T : IWireMessage<T>
    {
        var frame = Begin(type, id, out var writer);
        // Of a struct the compiler knows the answer, and makes no box.
        if (message is IVersionedMessage)
            ((IVersionedMessage)message).Write(ref writer, version);
        else
            message.Write(ref writer);
        frame.End(ref writer);
        return frame;
    }

    /// <summary>Ends the frame and sets its length.</summary>
    public void End(ref MessagePackWriter writer)
    {
        writer.Flush();
        int body = _length - HeaderBytes;
        if (body > Wire.MaxFrame)
            throw new WireException($"a frame of {body} bytes; the limit is {Wire.MaxFrame} bytes");
        BinaryPrimitives.WriteInt32LittleEndian(_array, body);
    }

    /// <summary>Counts a whole frame against a budget until it is returned; false: it has been returned.</summary>
    public bool TryCharge(FrameBudget budget)
    {
        if (_length < FrameBudget.CountedFrom)
            return true;
        if (budget.TryTake(_length))
        {
            _charged = budget;
            return true;
        }

        Return();
        return false;
    }

    /// <summary>Gives the array back.</summary>
    public void Return()
    {
        _charged?.Return(_length);
        _charged = null;
        byte[] array = _array;
        _array = [];
        _length = 0;
        FramePool.Return(array);
    }

    /// <inheritdoc/>
    public void Advance(int count) => _length += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Grow(sizeHint);
        return _array.AsMemory(_length);
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Grow(sizeHint);
        return _array.AsSpan(_length);
    }

    private void Grow(int sizeHint)
    {
        int need = Math.Max(sizeHint, 64);
        if (_array.Length - _length >= need)
            return;
        byte[] larger = FramePool.Rent(Math.Max(_array.Length * 2, _length + need));
        _array.AsSpan(0, _length).CopyTo(larger);
        FramePool.Return(_array);
        _array = larger;
    }
}

/// <summary>
/// Cuts an incoming stream of bytes into frames, in place. Its memory follows what has arrived, not what a length word
/// announces. One reader.
/// </summary>
internal sealed class FrameReader(IPeerConnection connection) : IDisposable
{
    private const int HeaderBytes = 4;
    private const int OpeningBytes = 4 * 1024;
    private const int OpenBytes = 64 * 1024;
    private byte[] _array = FramePool.Rent(OpeningBytes);
    private int _limit = Wire.MaxOpeningFrame;
    private int _start;
    private int _end;
    private int _taken;

    /// <summary>
    /// The number of the frame that has begun to arrive and is not whole; 0: none. May be read by others, to whom it
    /// is a hint.
    /// </summary>
    public int Unfinished => Volatile.Read(ref _end) > Volatile.Read(ref _start) ? Volatile.Read(ref _taken) + 1 : 0;

    /// <summary>Hands have been shaken: frames of full size may come.</summary>
    public void Open()
    {
        _limit = Wire.MaxFrame;
        Move(Math.Max(OpenBytes, _array.Length));
    }

    /// <summary>The next frame's body, valid until the next call; empty when the other side has closed.</summary>
    public async ValueTask<ReadOnlyMemory<byte>> ReadAsync(CancellationToken cancel)
    {
        while (true)
        {
            if (TryTake(out var frame))
                return frame;
            int received = await connection.ReceiveAsync(_array.AsMemory(_end), cancel);
            if (received == 0)
            {
                return _end == _start
                    ? ReadOnlyMemory<byte>.Empty
                    : throw new WireException("the connection closed within a frame");
            }

            _end += received;
        }
    }

    /// <summary>A whole frame that is here already.</summary>
    public bool TryTake(out ReadOnlyMemory<byte> frame)
    {
        frame = default;
        int have = _end - _start;
        if (have < HeaderBytes)
        {
            MakeRoom(HeaderBytes);
            return false;
        }

        int length = BinaryPrimitives.ReadInt32LittleEndian(_array.AsSpan(_start));
        if (length <= 0 || length > _limit)
            throw new WireException($"a frame of {length} bytes; the limit is {_limit} bytes");
        if (have < HeaderBytes + length)
        {
            MakeRoom(HeaderBytes + length);
            return false;
        }

        frame = _array.AsMemory(_start + HeaderBytes, length);
        _start += HeaderBytes + length;
        _taken++;
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        byte[] array = _array;
        _array = [];
        FramePool.Return(array);
    }

    private void MakeRoom(int need)
    {
        if (_end < _array.Length && (_start == 0 || _array.Length - _start >= need))
            return;
        // A length word costs its sender nothing, so memory grows by what has come: fourfold at most.
        int have = _end - _start;
        Move(have < _array.Length ? _array.Length : Math.Min(need, 4 * have));
    }

    private void Move(int length)
    {
        int have = _end - _start;
        if (length <= _array.Length)
        {
            _array.AsSpan(_start, have).CopyTo(_array);
        }
        else
        {
            byte[] larger = FramePool.Rent(length);
            _array.AsSpan(_start, have).CopyTo(larger);
            FramePool.Return(_array);
            _array = larger;
        }

        _start = 0;
        _end = have;
    }
}
