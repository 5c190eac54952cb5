// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics.CodeAnalysis;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The groups of a store by name, and by a number that fits in a cell. Only under the lock of the store.
/// </summary>
internal sealed class HeldGroups
{
    private readonly Dictionary<string, HeldGroup> _byName = new(StringComparer.Ordinal);

    // Number 0 is no group.
    private readonly List<HeldGroup?> _byNumber = [null];
    private readonly Stack<int> _spare = new();

    /// <summary>Number of the group of that name, for one object more; 0 for no name.</summary>
    public int Take(string? name)
    {
        if (name is not { Length: > 0 })
            return 0;
        if (!_byName.TryGetValue(name, out HeldGroup? group))
        {
            bool again = _spare.TryPop(out int number);
            if (!again)
            {
                number = _byNumber.Count;
                _byNumber.Add(null);
            }

            group = new HeldGroup(name, number);
            _byNumber[number] = group;
            _byName.Add(name, group);
        }

        group.Objects++;
        return group.Number;
    }

    /// <summary>An object of the group is gone.</summary>
    public void Give(int number)
    {
        if (_byNumber[number] is not { } group || --group.Objects > 0)
            return;
        _byName.Remove(group.Name);
        _byNumber[number] = null;
        _spare.Push(number);
    }

    /// <summary>The group of that number, or null for 0.</summary>
    public HeldGroup? Of(int number) => _byNumber[number];

    /// <summary>Its name, or null for 0.</summary>
    public string? NameOf(int number) => _byNumber[number]?.Name;

    /// <summary>The group of that name.</summary>
    public bool TryFind(string name, [NotNullWhen(true)] out HeldGroup? group) => _byName.TryGetValue(name, out group);
}

/// <summary>Objects of one holder that leave together.</summary>
internal sealed class HeldGroup(string name, int number)
{
    /// <summary>The name.</summary>
    public string Name { get; } = name;

    /// <summary>The number.</summary>
    public int Number { get; } = number;

    /// <summary>Objects that name it, committed or not.</summary>
    public int Objects { get; set; }

    /// <summary>Addresses of the cells of those that are committed.</summary>
    public HashSet<nint> Members { get; } = [];

    /// <summary>What they occupy, in bytes.</summary>
    public long Bytes { get; set; }
}
