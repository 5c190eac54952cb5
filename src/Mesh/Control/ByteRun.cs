// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers.Binary;
using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Byte strings that follow each other in a frame: keys of a request, records of an answer. The library's reader makes
/// a sequence of segments for each; a frame is one piece of memory, and a batch is answered in a fifth less time. What
/// is not read here, because it is something else or ends too early, is left to that reader and its errors.
/// Benchmark: "Mooncake.Mesh.Bench --filter *Locate*".
/// </summary>
internal ref struct ByteRun
{
    private readonly ReadOnlySpan<byte> _unread;
    private readonly int _start;
    private int _at;

    /// <summary>From where the reader is.</summary>
    public ByteRun(scoped in MessagePackReader reader)
    {
        var frame = reader.Sequence;
        _start = (int)reader.Consumed;
        _unread = frame.IsSingleSegment ? frame.FirstSpan[_start..] : [];
    }

    /// <summary>Where the run has come to, from the frame's first byte.</summary>
    public readonly int Position => _start + _at;

    /// <summary>The next one, in place; false when there is none of at most <paramref name="most"/> bytes.</summary>
    public bool TryRead(int most, out ReadOnlySpan<byte> bytes)
    {
        var rest = _unread[_at..];
        int header = 0;
        uint length = 0;
        if (rest.Length >= 2 && rest[0] == MessagePackCode.Bin8)
            (header, length) = (2, rest[1]);
        else if (rest.Length >= 3 && rest[0] == MessagePackCode.Bin16)
            (header, length) = (3, BinaryPrimitives.ReadUInt16BigEndian(rest[1..]));
        else if (rest.Length >= 5 && rest[0] == MessagePackCode.Bin32)
            (header, length) = (5, BinaryPrimitives.ReadUInt32BigEndian(rest[1..]));
        bool isWhole = header > 0 && length <= most && length <= rest.Length - header;
        bytes = isWhole ? rest.Slice(header, (int)length) : [];
        _at += isWhole ? header + (int)length : 0;
        return isWhole;
    }

    /// <summary>Brings the reader to where the run has come.</summary>
    public readonly void End(ref MessagePackReader reader)
    {
        if (_at > 0)
            reader.ReadRaw(_at);
    }
}
