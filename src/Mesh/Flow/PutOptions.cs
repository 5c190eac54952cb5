// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;

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

    /// <summary>
    /// Whether an object that has the key gives way, with all its copies, to this value. Without it the first put
    /// stays.
    /// </summary>
    public bool Replace { get; init; }

    /// <summary>How hard the holders keep the object; a put of an object that is there already pins that one.</summary>
    public ObjectPin Pin { get; init; }

    /// <summary>
    /// Name of the group that the object is evicted with, up to 256 bytes of UTF-8; empty: none. A holder that evicts
    /// one member evicts every one it has, and asks the others to; a hard-pinned one stays.
    /// </summary>
    public string Group { get; init; } = "";

    /// <summary>Longest time; null: 1 s and 1 s more for each 64 MiB.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not more than 0, or more than a day.</exception>
    public TimeSpan? Deadline { get; init => field = CallLimit.Checked(value); }

    /// <summary>What reading the value comes after, where it is in memory of a device.</summary>
    public DeviceOrder Order { get; init; }
}

/// <summary>What a get asks for.</summary>
public sealed record GetOptions
{
    /// <summary>The default deadline.</summary>
    public static GetOptions Default { get; } = new();

    /// <summary>
    /// Longest time; null: 1 s to find the object, then 1 s and 1 s more for each 64 MiB to read it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not more than 0, or more than a day.</exception>
    public TimeSpan? Deadline { get; init => field = CallLimit.Checked(value); }

    /// <summary>
    /// Whether the bytes are compared with the object's checksum. That they are the object's, by its generation word,
    /// is checked always. What goes from one device to another has no checksum: its word alone protects it.
    /// </summary>
    public bool Verify { get; init; } = true;

    /// <summary>What writing the destination comes after, where it is in memory of a device.</summary>
    public DeviceOrder Order { get; init; }
}

/// <summary>Where a read of a part of an object starts; how long it is the destination says.</summary>
/// <param name="Key">The object's key.</param>
/// <param name="Offset">First byte that is wanted.</param>
public readonly record struct ObjectRange(MeshKey Key, long Offset);

/// <summary>How a put ended.</summary>
/// <param name="Existed">The key had an object already, which stays.</param>
/// <param name="Version">The record's version.</param>
/// <param name="Replicas">
/// Copies this put made. When it existed: 0, or those that joined an object of the same bytes with too few copies.
/// </param>
public readonly record struct PutOutcome(bool Existed, RecordVersion Version, int Replicas);

/// <summary>The longest present prefix of a chain of blocks.</summary>
/// <param name="Length">Keys from the start of the chain that are present without a gap.</param>
/// <param name="Present">Whether each key of the chain is present, gaps or not.</param>
public sealed record PrefixMatch(int Length, IReadOnlyList<bool> Present);

/// <summary>One object in a listing.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Size">Its size in bytes.</param>
/// <param name="Nodes">The nodes that hold a copy, by id.</param>
public readonly record struct ListedObject(MeshKey Key, long Size, IReadOnlyList<string> Nodes);

/// <summary>Everything was removed.</summary>
/// <param name="Times">How often that has happened in this mesh.</param>
/// <param name="Nodes">Nodes that have dropped everything.</param>
/// <param name="Away">Nodes that could not be reached; they drop it as soon as they hear of it.</param>
public readonly record struct RemoveAllOutcome(long Times, int Nodes, int Away);
