// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// What owners have said of the one key of a call, and its holders did not have. All of it counts, not the last alone:
/// two owners who are behind would name theirs in turn, and the one who knows would not be asked.
/// </summary>
internal sealed class StaleRecords
{
    /// <summary>How often an object is looked for again.</summary>
    public const int MostRelocations = 2;

    private readonly List<ObjectRecord> _records = [];

    /// <summary>Whether there is none.</summary>
    public bool IsEmpty => _records.Count == 0;

    /// <summary>Whether one of them had copies in more than one place.</summary>
    public bool HadCopies => _records.Exists(record => record.Replicas.Length > 1);

    /// <summary>
    /// Why there is no value, when an owner names yet another object after the last look: one is there, so that it is
    /// no miss.
    /// </summary>
    /// <param name="stage">Of the error.</param>
    public static MeshError Replaced(string stage) => new(MeshErrorCode.Unavailable, stage,
        $"the object was replaced or moved each of the {MostRelocations + 1} times it was read");

    /// <summary>Notes one that no holder has.</summary>
    public void Add(ObjectRecord record) => _records.Add(record);

    /// <summary>
    /// Whether an owner's record is no answer: it is older than one of these, or it is the newest of these again.
    /// </summary>
    /// <param name="record">What the owner says.</param>
    /// <param name="same">
    /// It is the newest again: who knows but this may deny the key. One who knows but an older one is behind.
    /// </param>
    public bool Covers(ObjectRecord record, out bool same)
    {
        same = false;
        bool known = false;
        foreach (var stale in _records)
        {
            if (record.Version < stale.Version)
                return true;
            known |= IsOf(record, stale);
        }

        if (!known)
            return false;
        // Owners may know of more or fewer copies: none of those that were looked for is there.
        foreach (var replica in record.Replicas)
        {
            if (!WasLookedFor(record, replica))
                return false;
        }

        return same = true;
    }

    private bool WasLookedFor(ObjectRecord record, in Replica replica)
    {
        foreach (var stale in _records)
        {
            if (IsOf(record, stale) && stale.Replicas.AsSpan().Contains(replica))
                return true;
        }

        return false;
    }

    private static bool IsOf(ObjectRecord record, ObjectRecord stale) =>
        record.Version == stale.Version && record.ObjectId == stale.ObjectId;
}
