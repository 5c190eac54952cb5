// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Control;

/// <summary>
/// The greatest version of a key that this caller has read, written or removed. While parts of the mesh do not reach
/// each other an owner may find an older one; to this caller it would be a step back, so it is no answer. Keeps the
/// last 16,384 keys or so (a later one takes the place of another of the same hash), in 512 KiB. Thread-safe.
/// </summary>
internal sealed class SeenVersions
{
    private const int Places = 16_384;
    private readonly Lock _lock = new();
    private Seen[]? _seen;

    /// <summary>Notes a version of a key.</summary>
    public void Note(ulong keyHash, in RecordVersion version)
    {
        if (version.IsNone)
            return;
        lock (_lock)
        {
            _seen ??= new Seen[Places];
            ref var seen = ref _seen[keyHash & (Places - 1)];
            if (seen.KeyHash != keyHash || version > seen.Version)
                seen = new Seen(keyHash, version);
        }
    }

    /// <summary>Whether an owner's record of a key is older than what was seen of it.</summary>
    public bool IsBehind(ulong keyHash, LocateAnswer answer, int index) =>
        Volatile.Read(ref _seen) is not null && IsBehind(keyHash, answer.VersionOf(index));

    /// <summary>Whether a version of a key, if it is one, is older than what was seen of it.</summary>
    public bool IsBehind(ulong keyHash, in RecordVersion version)
    {
        if (Volatile.Read(ref _seen) is null || version.IsNone)
            return false;
        lock (_lock)
        {
            if (_seen is null)
                return false;
            ref var seen = ref _seen[keyHash & (Places - 1)];
            return seen.KeyHash == keyHash && version < seen.Version;
        }
    }

    /// <summary>The greatest version that was seen of a key; none: it is not known.</summary>
    public RecordVersion VersionOf(ulong keyHash)
    {
        lock (_lock)
        {
            if (_seen is null)
                return default;
            ref var seen = ref _seen[keyHash & (Places - 1)];
            return seen.KeyHash == keyHash ? seen.Version : default;
        }
    }

    /// <summary>Forgets it all: another mesh counts anew.</summary>
    public void Forget()
    {
        lock (_lock)
            Volatile.Write(ref _seen, null);
    }

    private readonly record struct Seen(ulong KeyHash, RecordVersion Version);
}
