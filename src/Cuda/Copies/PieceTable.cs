// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>
/// Where the pieces of a chunk come from and go to: three columns of numbers, as a batch copy and the kernel read them.
/// </summary>
/// <param name="memory">Place of <see cref="Bytes"/> bytes.</param>
internal readonly unsafe struct PieceTable(byte* memory)
{
    /// <summary>
    /// Most pieces: those of a chunk of 1 KiB each. Copies one by one are kept to fewer, as a driver waits for the
    /// device when about a thousand are on their way.
    /// </summary>
    internal const int Most = 1024;

    /// <summary>Length of a table.</summary>
    internal const int Bytes = 3 * Most * sizeof(ulong);

    /// <summary>First bytes of the destinations.</summary>
    internal nint* To => (nint*)memory;

    /// <summary>First bytes of the sources.</summary>
    internal nint* From => To + Most;

    /// <summary>Lengths.</summary>
    internal nuint* Lengths => (nuint*)(From + Most);
}

/// <summary>What a chunk consists of.</summary>
/// <param name="Pieces">Rows of the table.</param>
/// <param name="Bytes">Bytes of them.</param>
internal readonly record struct Chunk(int Pieces, int Bytes);

/// <summary>
/// Goes through ranges of device memory, a chunk at a time. Ranges that follow one another become one.
/// </summary>
/// <param name="ranges">The ranges; empty ones are passed over.</param>
internal ref struct PieceCursor(ReadOnlySpan<DeviceRange> ranges)
{
    private readonly ReadOnlySpan<DeviceRange> _ranges = ranges;
    private int _next;
    private long _offset;

    /// <summary>Whether all have been gone through.</summary>
    internal readonly bool IsAtEnd => _next == _ranges.Length;

    /// <summary>Writes the rows of the next chunk.</summary>
    /// <param name="table">The table.</param>
    /// <param name="buffer">The pinned buffer that the chunk goes through.</param>
    /// <param name="isRead">Whether the bytes come from the device.</param>
    /// <param name="most">Most pieces.</param>
    /// <returns>The chunk; empty when all have been gone through.</returns>
    internal unsafe Chunk Next(PieceTable table, byte* buffer, bool isRead, int most)
    {
        nint* device = isRead ? table.From : table.To;
        nint* host = isRead ? table.To : table.From;
        int pieces = 0;
        int bytes = 0;
        while (bytes < CopyLane.SlotBytes && _next < _ranges.Length)
        {
            DeviceRange range = _ranges[_next];
            int length = (int)Math.Min(range.Length - _offset, CopyLane.SlotBytes - bytes);
            if (length > 0)
            {
                nint address = range.Address + (nint)_offset;
                bool follows = pieces > 0 && device[pieces - 1] + (nint)table.Lengths[pieces - 1] == address;
                if (!follows && pieces == most)
                    break;
                if (follows)
                {
                    table.Lengths[pieces - 1] += (nuint)length;
                }
                else
                {
                    device[pieces] = address;
                    host[pieces] = (nint)(buffer + bytes);
                    table.Lengths[pieces++] = (nuint)length;
                }
            }

            bytes += length;
            _offset += length;
            if (_offset == range.Length)
            {
                _next++;
                _offset = 0;
            }
        }

        while (_next < _ranges.Length && _ranges[_next].Length == 0)
            _next++;
        return new Chunk(pieces, bytes);
    }
}
