// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.IO.Hashing;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Staging;

/// <summary>Sums slices of which the bytes come one after the other, in chunks of any length. For one thread.</summary>
internal sealed class RunningSums(SliceSums sums)
{
    private readonly XxHash3 _hash = new();
    private int _slice;
    private long _summed;

    /// <summary>Takes the next bytes.</summary>
    public void Add(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            long left = sums.LengthOf(_slice) - _summed;
            var part = bytes[..(int)Math.Min(left, bytes.Length)];
            bytes = bytes[part.Length..];
            if (_summed == 0 && part.Length == left)
            {
                sums.Values[_slice++] = XxHash3.HashToUInt64(part);
                continue;
            }

            _hash.Append(part);
            _summed += part.Length;
            if (part.Length < left)
                return;
            sums.Values[_slice++] = _hash.GetCurrentHashAsUInt64();
            _hash.Reset();
            _summed = 0;
        }
    }

    /// <summary>The sums of no bytes.</summary>
    public static void Empty(SliceSums? sums) => sums?.Values.AsSpan().Fill(XxHash3.HashToUInt64([]));
}
