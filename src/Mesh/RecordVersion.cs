// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh;

/// <summary>
/// The number an acting primary gives a record or a tombstone: (epoch, view revision, counter), where counter is one
/// more than the greatest it has seen in the slot. Wherever two meet, the greater stays.
/// </summary>
/// <param name="Epoch">Epoch of the view it was numbered in.</param>
/// <param name="Revision">Revision of that view.</param>
/// <param name="Counter">Counter within the slot, from 1.</param>
public readonly record struct RecordVersion(long Epoch, long Revision, long Counter) : IComparable<RecordVersion>
{
    /// <summary>Whether nothing was numbered yet.</summary>
    public bool IsNone => Counter == 0;

    /// <inheritdoc/>
    public int CompareTo(RecordVersion other)
    {
        int order = Epoch.CompareTo(other.Epoch);
        if (order == 0)
            order = Revision.CompareTo(other.Revision);
        return order != 0 ? order : Counter.CompareTo(other.Counter);
    }

    /// <summary>Greater.</summary>
    public static bool operator >(RecordVersion left, RecordVersion right) => left.CompareTo(right) > 0;

    /// <summary>Smaller.</summary>
    public static bool operator <(RecordVersion left, RecordVersion right) => left.CompareTo(right) < 0;

    /// <summary>Greater or equal.</summary>
    public static bool operator >=(RecordVersion left, RecordVersion right) => left.CompareTo(right) >= 0;

    /// <summary>Smaller or equal.</summary>
    public static bool operator <=(RecordVersion left, RecordVersion right) => left.CompareTo(right) <= 0;

    /// <inheritdoc/>
    public override string ToString() => $"{Epoch}.{Revision}.{Counter}";
}
