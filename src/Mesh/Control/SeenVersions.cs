// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Control;

/// <summary>
/// The greatest version of a key that this caller has read, written or removed, and the object that it has removed.
/// While parts of the mesh do not reach each other an owner may find an older one, or that object under a number of its
/// own; to this caller it would be a step back, so it is no answer. Keeps the
/// last 16,384 keys or so (a later one takes the place of another of the same hash), in 656 KiB, or less as long as
/// they are few. Thread-safe.
/// </summary>
/// <param name="mayPass">Whether an object may come after the removal of another; null: if it is another.</param>
internal sealed class SeenVersions(Func<ulong, ulong, bool>? mayPass = null)
{
    private const int MostPlaces = 16_384;
    private const int FirstPlaces = 1024;
    private readonly Lock _lock = new();
    private Seen[]? _seen;

    /// <summary>A byte of the hash of each key that was seen: a table that stays in the processor's cache.</summary>
    private byte[]? _marks;

    /// <summary>Notes a version of a key.</summary>
    public void Note(ulong keyHash, in RecordVersion version) => Note(keyHash, version, 0);

    /// <summary>Notes the removal of a key's object.</summary>
    public void NoteRemoval(ulong keyHash, ObjectRecord tombstone) =>
        Note(keyHash, tombstone.Version, tombstone.ObjectId);

    private void Note(ulong keyHash, in RecordVersion version, ulong removed)
    {
        if (version.IsNone)
            return;
        lock (_lock)
        {
            _seen ??= new Seen[FirstPlaces];
            _marks ??= new byte[MostPlaces];
            while (PlaceOf(_seen, keyHash) is { Version.IsNone: false } other && other.KeyHash != keyHash
                && _seen.Length < MostPlaces)
                Grow();
            ref var seen = ref PlaceOf(_seen, keyHash);
            if (seen.KeyHash != keyHash || version > seen.Version)
                seen = new Seen(keyHash, version, removed);
            // Keys that share a mark share a place, however many there are.
            _marks[keyHash & (MostPlaces - 1)] = MarkOf(keyHash);
        }
    }

    /// <summary>Whether an owner's record of a key is older than what was seen of it, or was removed.</summary>
    public bool IsBehind(ulong keyHash, LocateAnswer answer, int index) => MayHaveSeen(keyHash)
        && IsBehind(keyHash, answer.VersionOf(index), answer.ObjectIdOf(index));

    /// <summary>Whether a version of a key, if it is one, is older than what was seen of it, or was removed.</summary>
    public bool IsBehind(ulong keyHash, in RecordVersion version, ulong objectId)
    {
        if (version.IsNone || !MayHaveSeen(keyHash))
            return false;
        lock (_lock)
        {
            if (_seen is null)
                return false;
            ref var seen = ref PlaceOf(_seen, keyHash);
            return seen.KeyHash == keyHash
                && (version < seen.Version || (seen.Removed != 0 && !MayPass(seen.Removed, objectId)));
        }
    }

    /// <summary>The greatest version that was seen of a key; none: it is not known.</summary>
    public RecordVersion VersionOf(ulong keyHash)
    {
        lock (_lock)
        {
            if (_seen is null)
                return default;
            ref var seen = ref PlaceOf(_seen, keyHash);
            return seen.KeyHash == keyHash ? seen.Version : default;
        }
    }

    /// <summary>Forgets it all: another mesh counts anew.</summary>
    public void Forget()
    {
        lock (_lock)
            (_seen, _marks) = (null, null);
    }

    /// <summary>
    /// False of most keys of a large batch, and without a lock that its threads would meet at. What is being noted just
    /// now may come before this or after it.
    /// </summary>
    private bool MayHaveSeen(ulong keyHash) => Volatile.Read(ref _marks) is { } marks
        && marks[keyHash & (MostPlaces - 1)] == MarkOf(keyHash);

    private static byte MarkOf(ulong keyHash) => (byte)(keyHash >> 32);

    private static ref Seen PlaceOf(Seen[] places, ulong keyHash) => ref places[keyHash & (ulong)(places.Length - 1)];

    private bool MayPass(ulong removed, ulong objectId) =>
        mayPass is null ? removed != objectId : mayPass(removed, objectId);

    private void Grow()
    {
        // One step at a time: what shared no place before shares none now.
        var larger = new Seen[2 * _seen!.Length];
        foreach (ref var seen in _seen.AsSpan())
        {
            if (!seen.Version.IsNone)
                PlaceOf(larger, seen.KeyHash) = seen;
        }

        _seen = larger;
    }

    private readonly record struct Seen(ulong KeyHash, RecordVersion Version, ulong Removed);
}
