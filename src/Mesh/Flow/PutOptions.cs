// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh;

/// <summary>How holders are chosen.</summary>
public enum Placement
{
    /// <summary>The nearest segment with room without evicting, then any.</summary>
    LocalFirst = 0,

    /// <summary>Over all nodes, by capacity.</summary>
    Spread = 1,

    /// <summary>The named node, then any.</summary>
    Preferred = 2,
}

/// <summary>What a put asks for.</summary>
public sealed record PutOptions
{
    /// <summary>Local first, one replica.</summary>
    public static PutOptions Default { get; } = new();

    /// <summary>How holders are chosen.</summary>
    public Placement Placement { get; init; } = Placement.LocalFirst;

    /// <summary>The node that <see cref="Placement.Preferred"/> prefers.</summary>
    public string PreferredNode { get; init; } = "";

    /// <summary>Copies wanted, 1 to 64; a put succeeds with one, and says how many it made.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Longest time; null: 1 s and 1 s more for each 64 MiB.</summary>
    public TimeSpan? Deadline { get; init; }
}

/// <summary>What a get asks for.</summary>
public sealed record GetOptions
{
    /// <summary>The default deadline.</summary>
    public static GetOptions Default { get; } = new();

    /// <summary>Longest time; null: 1 s to find the object, and 1 s more for each 64 MiB of it.</summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>
    /// Whether the bytes are compared with the object's checksum. That they are the object's, by its generation word,
    /// is checked always.
    /// </summary>
    public bool Verify { get; init; } = true;
}

/// <summary>Where a read of a part of an object starts; how long it is the destination says.</summary>
/// <param name="Key">The object's key.</param>
/// <param name="Offset">First byte that is wanted.</param>
public readonly record struct ObjectRange(MeshKey Key, long Offset);

/// <summary>How a put ended.</summary>
/// <param name="Existed">The key had an object already: it stays, and this value was not stored.</param>
/// <param name="Version">The record's version.</param>
/// <param name="Replicas">Copies this put made; 0 when it existed.</param>
public readonly record struct PutOutcome(bool Existed, RecordVersion Version, int Replicas);

/// <summary>The longest present prefix of a chain of blocks.</summary>
/// <param name="Length">Keys from the start of the chain that are present without a gap.</param>
/// <param name="Present">Whether each key of the chain is present, gaps or not.</param>
public sealed record PrefixMatch(int Length, IReadOnlyList<bool> Present);

/// <summary>One object in a listing.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Size">Its size in bytes.</param>
/// <param name="NodeId">The node that holds the listed copy.</param>
public readonly record struct ListedObject(MeshKey Key, long Size, string NodeId);
