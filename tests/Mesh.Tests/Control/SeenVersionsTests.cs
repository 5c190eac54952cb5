// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

public sealed class SeenVersionsTests
{
    private const ulong Key = 77;
    private readonly SeenVersions _seen = new();

    [Fact]
    public void What_is_older_than_what_was_seen_is_behind()
    {
        Assert.False(_seen.IsBehind(Key, Version(1), 5));
        _seen.Note(Key, Version(3));
        Assert.True(_seen.IsBehind(Key, Version(2), 5));
        Assert.False(_seen.IsBehind(Key, Version(3), 5));
        Assert.False(_seen.IsBehind(Key + 1, Version(2), 5));
    }

    [Fact]
    public void A_removed_object_is_behind_under_any_number_until_something_newer_is_seen()
    {
        _seen.NoteRemoval(Key, new ObjectRecord { Version = Version(3), ObjectId = 5, Removed = true });
        Assert.True(_seen.IsBehind(Key, Version(9), 5));
        Assert.False(_seen.IsBehind(Key, Version(9), 6));
        Assert.Equal(Version(3), _seen.VersionOf(Key));
        _seen.Note(Key, Version(10));
        Assert.False(_seen.IsBehind(Key, Version(11), 5));
    }

    [Fact]
    public void Nothing_is_behind_once_all_is_forgotten()
    {
        _seen.NoteRemoval(Key, new ObjectRecord { Version = Version(3), ObjectId = 5, Removed = true });
        _seen.Forget();
        Assert.False(_seen.IsBehind(Key, Version(1), 5));
        _seen.Note(Key, Version(3));
        Assert.True(_seen.IsBehind(Key, Version(2), 5));
    }

    /// <summary>As many as are kept, whatever else is in their hashes; of two that share a place, the later.</summary>
    [Fact]
    public void Each_of_thousands_of_keys_is_known()
    {
        const int Keys = 16_384;
        var random = new Random(5);
        ulong[] hashes = [.. Enumerable.Range(0, Keys).Select(i => ((ulong)random.NextInt64() << 14) + (uint)i)];
        foreach (ulong hash in hashes)
            _seen.Note(hash, Version(3));
        Assert.All(hashes, hash => Assert.True(_seen.IsBehind(hash, Version(2), 5)));
        Assert.All(hashes, hash => Assert.False(_seen.IsBehind(hash + (1ul << 63), Version(2), 5)));
        ulong later = hashes[9] ^ (1ul << 40);
        _seen.Note(later, Version(3));
        Assert.True(_seen.IsBehind(later, Version(2), 5));
        Assert.False(_seen.IsBehind(hashes[9], Version(2), 5));
    }

    private static RecordVersion Version(long counter) => new(1, 2, counter);
}
