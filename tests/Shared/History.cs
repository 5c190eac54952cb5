// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Tests.Shared;

/// <summary>What a call asked for.</summary>
public enum CallKind
{
    /// <summary>A put that leaves what the key has.</summary>
    Put,

    /// <summary>A put that takes the place of what the key has.</summary>
    Upsert,

    /// <summary>A read of the value; a view too, at its end.</summary>
    Get,

    /// <summary>Whether the key has an object.</summary>
    Exists,

    /// <summary>A removal.</summary>
    Remove,
}

/// <summary>How a call ended.</summary>
public enum CallOutcome
{
    /// <summary>Put: stored. Get: read. Exists, remove: it was there.</summary>
    Done,

    /// <summary>Of a put: the key had an object, which stays.</summary>
    Existed,

    /// <summary>Of a get, exists, remove: the mesh says that there is no such object.</summary>
    NotFound,

    /// <summary>It failed, and may have had its effect: a deadline, a lost connection.</summary>
    Unknown,

    /// <summary>It failed for certain: no space, bad input.</summary>
    Refused,
}

/// <summary>One call of one client, as the client saw it. Times are microseconds from the start of the run.</summary>
public sealed record CallRecord
{
    /// <summary>Value identity of bytes that no put wrote as they are.</summary>
    public const ulong Torn = ulong.MaxValue;

    /// <summary>Which client; one client makes one call at a time, or says so with an id for each.</summary>
    public required int Client { get; init; }

    /// <summary>When it was made.</summary>
    public required long Start { get; init; }

    /// <summary>When it returned.</summary>
    public required long End { get; init; }

    /// <summary>Longest time it may take, in microseconds.</summary>
    public required long Limit { get; init; }

    /// <summary>What was asked for.</summary>
    public required CallKind Kind { get; init; }

    /// <summary>The key.</summary>
    public required string Key { get; init; }

    /// <summary>How it ended.</summary>
    public required CallOutcome Outcome { get; init; }

    /// <summary>Which value was written, read or removed: unique for each put; 0: none, or not known.</summary>
    public ulong Value { get; init; }

    /// <summary>
    /// Of a put that is done: the version that the mesh gave it; of a get: that of what it read; of a
    /// removal: that of the tombstone. None: not known.
    /// </summary>
    public RecordVersion Version { get; init; }

    /// <summary>
    /// Of a get or exists that found nothing: whether somebody who could see it all knows that a node which the caller
    /// could reach held the value of an acknowledged put from before the start until after the end of the call.
    /// </summary>
    public bool HeldThroughout { get; init; }

    /// <summary>
    /// How often its client had come by then into a mesh that has nothing of the one it was in before: a registry that
    /// lost everything makes a new one of whoever starts, and who is cut off from it goes on with the old one. The
    /// versions of the two do not follow each other.
    /// </summary>
    public int Past { get; init; }

    /// <summary>Whether bytes of the caller's buffer changed after the call had returned.</summary>
    public bool ChangedAfterReturn { get; init; }

    /// <summary>One line, for a log.</summary>
    public override string ToString() =>
        $"{Start,11} {End,11} client {Client} {Kind} {Key} {Outcome} value {Value:x} version {Version}";
}
