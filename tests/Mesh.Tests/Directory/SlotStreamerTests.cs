// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;

namespace Mooncake.Mesh.Tests.Directory;

public sealed class SlotStreamerTests : IDisposable
{
    private readonly OwnerWorld _world = new();

    public void Dispose() => _world.Dispose();

    [Theory]
    [InlineData(10, 20)]
    [InlineData(1024, 20)]
    [InlineData(1025, 20)]
    [InlineData(10_000, 20)]
    [InlineData(300, 8_000)]
    public void A_slot_of_any_size_comes_in_parts_that_add_up(int records, int keyLength)
    {
        var keys = Fill(5, records, keyLength);
        var pages = Stream(Only(5));
        Assert.Equal(_world.Table.Slots, pages[^1].Through);
        Assert.Equal(0ul, pages[^1].Position);
        if (pages[^1].Records.Length == 0)
            pages.RemoveAt(pages.Count - 1);
        Assert.All(pages, p => Assert.True(p.Complete.Contains(5)));
        Assert.All(pages, p => Assert.InRange(p.Records.Length, 1, Wire.MaxBatch));
        Assert.All(pages, p => FrameBuffer.Of(MessageType.Answer, 1, p).Return());
        Assert.Equal(records, pages.Sum(p => p.Summaries.Sum(s => s.Count)));
        Assert.Equal(keys.ToHashSet(), pages.SelectMany(p => p.Records).Select(r => r.Key).ToHashSet());
        Assert.Equal(records, pages.Sum(p => p.Records.Length));
        foreach (var page in pages)
        {
            ulong digest = page.Records.Aggregate(0ul, (sum, r) => sum + RecordDigest.Of(r.Key, r.Record));
            Assert.Equal(Assert.Single(page.Summaries).Digest, digest);
        }
    }

    [Fact]
    public void Small_slots_are_not_split_and_a_large_one_among_them_is_whole_too()
    {
        int[] sizes = [3, 700, 2_500, 0, 900, 5];
        for (int slot = 0; slot < sizes.Length; slot++)
            Fill(slot, sizes[slot], 20);
        var set = new SlotSet(OwnerWorld.Slots);
        for (int slot = 0; slot < sizes.Length; slot++)
            set.Add(slot);
        var pages = Stream(set);
        var parts = pages.SelectMany(p => p.Summaries).ToLookup(s => s.Slot, s => s.Count);
        for (int slot = 0; slot < sizes.Length; slot++)
        {
            Assert.Equal(sizes[slot], parts[slot].Sum());
            Assert.True(sizes[slot] > Wire.MaxBatch || parts[slot].Count() <= 1, $"slot {slot} was split");
            Assert.Contains(pages, p => p.Complete.Contains(slot));
        }
    }

    [Fact]
    public void Records_that_stay_are_streamed_once_although_the_table_grows_and_shrinks_meanwhile()
    {
        var keys = Fill(5, 3_000, 20);
        var more = KeysOf(5, 20_000, 24);
        var random = new Random(3);
        var gone = new HashSet<MeshKey>();
        int added = 0;
        var pages = Stream(Only(5), () =>
        {
            // From 3,000 records to four times as many: the table doubles twice, and cells move up into holes.
            for (int i = 0; i < 4_000 && added < more.Count; i++)
                _world.Mirror(more[added++], OwnerWorld.Offer(9) with { Version = new RecordVersion(1, 10, 9) });
            for (int i = 0; i < 50; i++)
            {
                var key = keys[random.Next(keys.Count)];
                gone.Add(key);
                lock (_world.Table.LockOf(5))
                    _world.Table.Remove(5, key);
            }
        });
        Assert.True(added > 8_000, $"only {added} were added: the slot was streamed in too few parts");
        var seen = pages.SelectMany(p => p.Records).GroupBy(r => r.Key).ToDictionary(g => g.Key, g => g.Count());
        Assert.All(keys.Where(k => !gone.Contains(k)), k => Assert.Equal(1, seen.GetValueOrDefault(k)));
        Assert.All(seen.Values, times => Assert.Equal(1, times));
    }

    [Fact]
    public void A_page_tells_whether_a_slot_became_incomplete_since_the_one_before()
    {
        Fill(5, 3_000, 20);
        long stamp = _world.Owner.Pull(new SlotPullRequest(_world.View.Id, 5, Only(5))).Stamp;
        Assert.Equal(stamp, _world.Owner.Pull(new SlotPullRequest(_world.View.Id, 5, Only(5))).Stamp);
        _world.States.SetIncomplete(5);
        var page = _world.Owner.Pull(new SlotPullRequest(_world.View.Id, 5, Only(5)));
        Assert.False(page.Complete.Contains(5));
        _world.States.SetComplete(5, _world.States.PlaceOf(5), _world.States.Stamp);
        page = _world.Owner.Pull(new SlotPullRequest(_world.View.Id, 5, Only(5)));
        Assert.True(page.Complete.Contains(5));
        Assert.NotEqual(stamp, page.Stamp);
    }

    [Fact]
    public void A_source_that_is_not_in_the_askers_view_yet_gives_nothing()
    {
        Fill(5, 10, 20);
        var page = _world.Owner.Pull(new SlotPullRequest(OwnerWorld.ViewOf(11, "n1", "n2").Id, 0, Only(5)));
        Assert.False(page.Ready);
        Assert.Empty(page.Records);
        _world.Adopt(OwnerWorld.ViewOf(11, "n1", "n2"));
        Assert.True(_world.Owner.Pull(new SlotPullRequest(OwnerWorld.ViewOf(10, "n1").Id, 0, Only(5))).Ready);
    }

    [Fact]
    public void A_source_in_another_mesh_gives_nothing_whatever_its_number()
    {
        Fill(5, 10, 20);
        var asker = OwnerWorld.ViewOf(9, "n1", "n2").Id;
        Assert.True(_world.Owner.Pull(new SlotPullRequest(asker, 0, Only(5))).Ready);
        Assert.False(_world.Owner.Pull(new SlotPullRequest(asker with { Mesh = asker.Mesh + 1 }, 0, Only(5))).Ready);
    }

    [Fact]
    public void A_source_in_another_view_of_the_askers_number_gives_nothing()
    {
        Fill(5, 10, 20);
        var page = _world.Owner.Pull(new SlotPullRequest(OwnerWorld.ViewOf(10, "n1", "n2").Id, 0, Only(5)));
        Assert.False(page.Ready);
        Assert.Empty(page.Records);
    }

    [Fact]
    public void Nobody_vouches_for_a_slot_while_one_that_may_act_for_it_is_not_heard()
    {
        int slot = _world.SlotOf(_world.KeyAt(0));
        _world.States.Missed.Note("n3");
        Assert.Equal((false, false), Vouches());
        Assert.True(_world.States.MayDeny(slot));
        _world.States.Missed.Answered("n3");
        Assert.Equal((true, true), Vouches());
        _world.States.Missed.Note("n3");
        _world.Adopt(OwnerWorld.ViewOf(11, "n1", "n2"));
        Assert.Equal((true, true), Vouches());

        (bool Streams, bool Says) Vouches() =>
            (_world.Owner.Pull(new SlotPullRequest(_world.View.Id, slot, Only(slot))).Complete.Contains(slot),
                _world.Owner.State(new SlotStateRequest(_world.View.Id, Only(slot))).Complete.Contains(slot));
    }

    [Fact]
    public void Reversing_the_bits_twice_changes_nothing()
    {
        Assert.Equal(1ul << 63, BitReversal.Of(1));
        Assert.Equal(0b1011ul << 60, BitReversal.Of(0b1101));
        var random = new Random(1);
        for (int i = 0; i < 1_000; i++)
        {
            ulong word = (ulong)random.NextInt64(long.MinValue, long.MaxValue);
            Assert.Equal(word, BitReversal.Of(BitReversal.Of(word)));
        }
    }

    private static SlotSet Only(int slot)
    {
        var set = new SlotSet(OwnerWorld.Slots);
        set.Add(slot);
        return set;
    }

    private List<SlotPage> Stream(SlotSet set, Action? between = null)
    {
        var pages = new List<SlotPage>();
        var request = new SlotPullRequest(_world.View.Id, 0, set);
        while (request.From < _world.Table.Slots)
        {
            Assert.InRange(pages.Count, 0, 1_000);
            pages.Add(_world.Owner.Pull(request));
            request = request with { From = pages[^1].Through, Position = pages[^1].Position };
            between?.Invoke();
        }

        return pages;
    }

    private List<MeshKey> Fill(int slot, int records, int keyLength)
    {
        var keys = KeysOf(slot, records, keyLength);
        for (int i = 0; i < keys.Count; i++)
            _world.Mirror(keys[i], OwnerWorld.Offer((ulong)i + 1) with { Version = new RecordVersion(1, 10, i + 1) });
        return keys;
    }

    private List<MeshKey> KeysOf(int slot, int count, int length)
    {
        var keys = new List<MeshKey>();
        for (int i = 0; keys.Count < count; i++)
        {
            var key = new MeshKey($"{i}".PadLeft(length, 'x'));
            if (_world.SlotOf(key) == slot)
                keys.Add(key);
        }

        return keys;
    }
}
