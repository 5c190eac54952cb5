// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Numerics;

namespace Mooncake.Mesh.Segments;

/// <summary>A set of small numbers with constant-time "next member from here" and "greatest member".</summary>
internal sealed class BinMap
{
    /// <summary>Numbers are below this: three levels of 64.</summary>
    public const int Capacity = 64 * 64 * 64;

    private readonly ulong[] _leaves;
    private readonly ulong[] _middle = new ulong[64];
    private ulong _root;

    /// <summary>A set of numbers below <paramref name="count"/>, empty at first.</summary>
    public BinMap(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Capacity);
        _leaves = new ulong[(count + 63) / 64];
    }

    /// <summary>Adds a number.</summary>
    public void Set(int bin)
    {
        _leaves[bin >> 6] |= 1ul << (bin & 63);
        _middle[bin >> 12] |= 1ul << ((bin >> 6) & 63);
        _root |= 1ul << (bin >> 12);
    }

    /// <summary>Removes a number.</summary>
    public void Clear(int bin)
    {
        if ((_leaves[bin >> 6] &= ~(1ul << (bin & 63))) != 0)
            return;
        if ((_middle[bin >> 12] &= ~(1ul << ((bin >> 6) & 63))) == 0)
            _root &= ~(1ul << (bin >> 12));
    }

    /// <summary>The smallest member from <paramref name="bin"/> on, or -1.</summary>
    public int NextFrom(int bin)
    {
        if (bin >> 6 >= _leaves.Length)
            return -1;
        ulong leaf = _leaves[bin >> 6] & (~0ul << (bin & 63));
        if (leaf != 0)
            return (bin & ~63) + BitOperations.TrailingZeroCount(leaf);
        ulong middle = _middle[bin >> 12] & Above((bin >> 6) & 63);
        int high = bin >> 12;
        if (middle == 0)
        {
            ulong root = _root & Above(high);
            if (root == 0)
                return -1;
            high = BitOperations.TrailingZeroCount(root);
            middle = _middle[high];
        }

        int word = (high << 6) + BitOperations.TrailingZeroCount(middle);
        return (word << 6) + BitOperations.TrailingZeroCount(_leaves[word]);
    }

    /// <summary>The greatest member, or -1.</summary>
    public int Last()
    {
        if (_root == 0)
            return -1;
        int high = BitOperations.Log2(_root);
        int word = (high << 6) + BitOperations.Log2(_middle[high]);
        return (word << 6) + BitOperations.Log2(_leaves[word]);
    }

    // Two shifts: one by 64 would be a shift by 0.
    private static ulong Above(int bit) => ~0ul << bit << 1;
}
