// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>The ranges of memory that a host has registered: none overlaps another. Thread-safe.</summary>
internal sealed class RegisteredMemory
{
    /// <summary>Most ranges at one time.</summary>
    public const int Most = 1 << 16;

    private readonly Lock _lock = new();
    private NativeRange[] _ranges = [];

    /// <summary>Adds a range; null, or why not.</summary>
    public string? Add(NativeRange range)
    {
        lock (_lock)
        {
            if (_ranges.Length == Most)
                return $"{Most} buffers are registered, which is the limit";
            int at = AfterStartOf(_ranges, range.Address);
            if ((at > 0 && EndOf(_ranges[at - 1]) > (ulong)range.Address)
                || (at < _ranges.Length && EndOf(range) > (ulong)_ranges[at].Address))
                return $"the buffer at 0x{range.Address:x} overlaps one that is registered";
            Volatile.Write(ref _ranges, [.. _ranges[..at], range, .. _ranges[at..]]);
            return null;
        }
    }

    /// <summary>Removes the range that starts here; false: none does.</summary>
    public bool Remove(nint address)
    {
        lock (_lock)
        {
            int at = AfterStartOf(_ranges, address) - 1;
            if (at < 0 || _ranges[at].Address != address)
                return false;
            Volatile.Write(ref _ranges, [.. _ranges[..at], .. _ranges[(at + 1)..]]);
            return true;
        }
    }

    /// <summary>Whether every byte lies in one registered range.</summary>
    public bool Contains(NativeRange range)
    {
        var ranges = Volatile.Read(ref _ranges);
        int at = AfterStartOf(ranges, range.Address) - 1;
        return at >= 0 && EndOf(range) <= EndOf(ranges[at]);
    }

    private static ulong EndOf(NativeRange range) => (ulong)range.Address + (ulong)range.Length;

    /// <summary>How many ranges start at or before an address.</summary>
    private static int AfterStartOf(NativeRange[] ranges, nint address)
    {
        int low = 0;
        int high = ranges.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if ((ulong)ranges[middle].Address <= (ulong)address)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }
}
