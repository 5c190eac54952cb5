// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Arguments;

/// <summary>Values in pieces: C passes the pieces of all values one after the other, and how many each has.</summary>
internal static unsafe class PieceLists
{
    /// <summary>The pieces of one value.</summary>
    public static NativeRange[] Read(void** parts, nuint* sizes, int count)
    {
        var pieces = new NativeRange[count];
        for (int i = 0; i < count; i++)
            pieces[i] = Given.Range(parts[i], sizes[i], $"piece {i}");
        return pieces;
    }

    /// <summary>The number of pieces of all values together, checked.</summary>
    public static int Total(nuint* counts, int entries)
    {
        nuint total = 0;
        for (int i = 0; i < entries; i++)
        {
            if (counts[i] > Given.MostEntries || (total += counts[i]) > Given.MostEntries)
                throw Given.Wrong($"the values have over {Given.MostEntries} pieces together, which is the limit");
        }

        return (int)total;
    }

    /// <summary>Where the pieces of each value start among all of them.</summary>
    public static int[] Starts(nuint* counts, int entries)
    {
        int[] starts = new int[entries];
        for (int i = 1; i < entries; i++)
            starts[i] = starts[i - 1] + (int)counts[i - 1];
        return starts;
    }

    /// <summary>Why the pieces of a value cannot be, or null.</summary>
    public static RefusedException? Fault(void** parts, nuint* sizes, int start, int count)
    {
        for (int i = start; i < start + count; i++)
        {
            if (Positions.RangeFault(parts[i], sizes[i], $"piece {i - start}") is { } wrong)
                return wrong;
        }

        return null;
    }
}
