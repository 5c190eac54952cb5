// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>One large read, and which of its slices are still to be had. Used by one thread at a time.</summary>
internal sealed class RailRead
{
    /// <summary>Shortest slice, in bytes.</summary>
    public const long ShortestSlice = 1 << 20;

    /// <summary>Longest slice, in bytes, unless the slices of the object's checksum are longer.</summary>
    public const long LongestSlice = 8 << 20;

    /// <summary>Times a slice is tried in all.</summary>
    public const int MostTries = 4;

    /// <summary>A read is cut in about so many slices: each costs a few allocations and a change of threads.</summary>
    private const long AboutSlices = 256;

    private readonly ExtentRead _read;
    private readonly nint _address;
    private readonly TimeProvider _time;
    private readonly TimeSpan _timeout;
    private readonly long _start;
    private readonly long _sliceBytes;
    private readonly byte[] _tries;
    private readonly Stack<int> _again = new();
    private readonly int[] _underWay;
    private int _next;
    private int _arrived;

    /// <param name="read">What to read.</param>
    /// <param name="address">Where to.</param>
    /// <param name="rails">How many rails there are.</param>
    /// <param name="time">Clock.</param>
    /// <param name="timeout">How long it may take.</param>
    public RailRead(in ExtentRead read, nint address, int rails, TimeProvider time, TimeSpan timeout)
    {
        _read = read;
        _address = address;
        _time = time;
        _timeout = timeout;
        _start = time.GetTimestamp();
        _sliceBytes = SliceOf(read);
        _tries = new byte[(read.Length + _sliceBytes - 1) / _sliceBytes];
        _underWay = new int[rails];
    }

    /// <summary>Time that is left; none: it is over.</summary>
    public TimeSpan Left => _time.LeftOf(_timeout, _start);

    /// <summary>Whether every slice has arrived.</summary>
    public bool IsWhole => _arrived == _tries.Length;

    /// <summary>Length of a slice, in bytes.</summary>
    public long LengthOf(int index) => Math.Min(_sliceBytes, _read.Length - (index * _sliceBytes));

    /// <summary>The slice that is to be given next.</summary>
    /// <returns>False when all have been given.</returns>
    public bool TryPeek(out int index)
    {
        if (_again.TryPeek(out index))
            return true;
        index = _next;
        return _next < _tries.Length;
    }

    /// <summary>Slices of this read that a rail has now.</summary>
    public int UnderWay(Rail rail) => _underWay[rail.Number];

    /// <summary>Gives the next slice to a rail.</summary>
    /// <returns>Its number, and whether it is not tried again after this.</returns>
    public (int Index, bool LastTry) Give(Rail rail)
    {
        int index = _again.TryPop(out int again) ? again : _next++;
        _underWay[rail.Number]++;
        return (index, ++_tries[index] >= MostTries);
    }

    /// <summary>What moves a slice, filling sums of its own.</summary>
    public TcpJob JobOf(int index, out SliceSums? sums)
    {
        long from = index * _sliceBytes;
        long length = LengthOf(index);
        sums = _read.Sums is { } whole ? whole.PartOf((whole.First * whole.SliceBytes) + from, length) : null;
        var request = new DataRequest(DataOperation.Read, _read.SegmentId, 0, _read.Offset, _read.Generation, length,
            _read.Skip + from);
        return new TcpJob(request, new NativeRange(_address + (nint)from, length), sums);
    }

    /// <summary>A slice has arrived, with its sums.</summary>
    public void Arrived(Rail rail, int index, SliceSums? sums)
    {
        _underWay[rail.Number]--;
        _arrived++;
        if (sums is not null)
            _read.Sums!.Take(sums);
    }

    /// <summary>A slice has failed, and nobody touches its memory any more.</summary>
    /// <returns>Whether it is to be given again.</returns>
    public bool TryAgain(Rail rail, int index)
    {
        _underWay[rail.Number]--;
        if (_tries[index] >= MostTries)
            return false;
        _again.Push(index);
        return true;
    }

    private static long SliceOf(in ExtentRead read)
    {
        long wanted = Math.Clamp(read.Length / AboutSlices, ShortestSlice, LongestSlice);
        // Whole slices of the checksum, so that each connection sums what it receives.
        long unit = read.Sums?.SliceBytes ?? ObjectSum.SmallestSlice;
        return (wanted + unit - 1) / unit * unit;
    }
}
