// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Directory;

/// <summary>What a holder says it has stands, for what it has and for what it has not.</summary>
public sealed class HolderClaimsTests : IDisposable
{
    private static readonly OpenWords NoneOpen = new(100, []);
    private readonly OwnerWorld _world = new();

    [Fact]
    public void What_a_holder_has_not_is_forgotten_and_what_it_has_is_known()
    {
        var key = _world.KeyAt(0);
        _world.Owner.Apply(key, Numbered(1, 9, "n2"));
        var other = _world.KeyAt(0, 1);
        Settle(key, new KeyedRecord(key, Numbered(2, 10, "n2")));
        Assert.Equal(2ul, Find(key)!.ObjectId);
        Settle(key);
        Assert.Null(Find(key));
        Assert.Null(Find(other));
    }

    /// <summary>
    /// Across a split the holder has put another object in the place of one that its owners here know by a greater
    /// version. To refuse the one for the other would lose both.
    /// </summary>
    [Fact]
    public void What_is_no_more_does_not_win_against_what_took_its_place_there()
    {
        var key = _world.KeyAt(0);
        _world.Owner.Apply(key, Numbered(1, 9, "n2"));
        var answers = Settle(key, new KeyedRecord(key, Numbered(2, 3, "n2")));
        Assert.Equal(OwnerCode.Yes, answers.Items[0].Code);
        Assert.Equal(2ul, Find(key)!.ObjectId);
    }

    [Fact]
    public void Copies_of_other_holders_stay_and_so_do_their_greater_versions()
    {
        var key = _world.KeyAt(0);
        _world.Owner.Apply(key, Numbered(1, 9, "n2"));
        _world.Owner.Apply(key, Numbered(1, 9, "n3"));
        var answers = Settle(key, new KeyedRecord(key, Numbered(2, 3, "n2")));
        Assert.Equal(OwnerCode.Kept, answers.Items[0].Code);
        Assert.Equal([OwnerWorld.IncarnationOf("n3")], Find(key)!.Replicas.Select(r => r.Incarnation));
    }

    [Fact]
    public void An_extent_that_was_still_open_is_not_missing()
    {
        var key = _world.KeyAt(0);
        _world.Owner.Apply(key, Numbered(1, 9, "n2"));
        _world.Owner.Settle(new SettleRequest(OwnerWorld.IncarnationOf("n2"), _world.SlotOf(key),
            new OpenWords(100, [2]), []));
        Assert.Equal(1ul, Find(key)!.ObjectId);
    }

    public void Dispose() => _world.Dispose();

    private static ObjectRecord Numbered(ulong objectId, long counter, string holder) =>
        OwnerWorld.Offer(objectId, holder) with { Version = new RecordVersion(1, 10, counter) };

    private OwnerAnswers Settle(MeshKey key, params KeyedRecord[] records) =>
        _world.Owner.Settle(new SettleRequest(OwnerWorld.IncarnationOf("n2"), _world.SlotOf(key), NoneOpen, records));

    private ObjectRecord? Find(MeshKey key) =>
        _world.Owner.Locate(new LocateRequest([key], false)).RecordOf(0);
}
