// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Topology;

namespace Mooncake.Mesh.Transfer.Rails;

/// <summary>
/// Which rails serve which memory, with numbers in the place of names: a location's row of a
/// <see cref="TopologyMatrix"/>, and 0 for memory of which it is not known where it lies, which every rail serves
/// alike. Rails that a row does not prefer serve while none of the preferred can. Immutable.
/// </summary>
internal sealed class RailPreferences
{
    /// <summary>Memory of which it is not known where it lies, or that no row is about.</summary>
    public const int Anywhere = 0;

    private readonly Row[] _rows;

    /// <param name="matrix">The rows.</param>
    /// <param name="rails">The rails by number.</param>
    public RailPreferences(TopologyMatrix matrix, IReadOnlyList<RailPort> rails)
    {
        var all = new bool[rails.Count];
        Array.Fill(all, true);
        var rows = new List<Row> { new("", all) };
        foreach (var (location, preference) in matrix.Rows)
            rows.Add(new Row(location, Named(rails, preference.Preferred)));
        _rows = [.. rows];
        IsUniform = Array.TrueForAll(_rows, static row => Array.IndexOf(row.Preferred, false) < 0);
    }

    /// <summary>Number of locations, <see cref="Anywhere"/> included.</summary>
    public int Count => _rows.Length;

    /// <summary>Whether every rail serves all memory alike, so that it need not be asked where memory lies.</summary>
    public bool IsUniform { get; }

    /// <summary>The number of a location: <see cref="Anywhere"/> where no row is about it.</summary>
    public int NumberOf(string location)
    {
        for (int i = 1; i < _rows.Length; i++)
        {
            if (_rows[i].Location == location)
                return i;
        }

        return Anywhere;
    }

    /// <summary>The rails to reach a location by.</summary>
    /// <param name="location">Its number.</param>
    /// <param name="usable">Numbers of the rails there are at present.</param>
    public RailChoice ChoiceOf(int location, IReadOnlyList<int> usable)
    {
        var row = _rows[location];
        var preferred = new List<int>(usable.Count);
        var others = new List<int>(usable.Count);
        foreach (int rail in usable)
        {
            if (row.Preferred[rail])
                preferred.Add(rail);
            else
                others.Add(rail);
        }

        return new RailChoice([.. preferred], [.. others]);
    }

    private static bool[] Named(IReadOnlyList<RailPort> rails, IReadOnlyList<string> devices)
    {
        var named = new bool[rails.Count];
        foreach (string device in devices)
        {
            for (int i = 0; i < named.Length; i++)
                named[i] |= rails[i].Device == device;
        }

        return named;
    }

    private sealed record Row(string Location, bool[] Preferred);
}
