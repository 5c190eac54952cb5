// SPDX-License-Identifier: Apache-2.0

using System.IO.Hashing;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>
/// Puts whose owner took them, and whose holder does not hear of it: whoever puts the key again is told that the value
/// is there, so it must be, or come to be, there.
/// </summary>
public sealed class UnknownPutTests
{
    private static readonly byte[] Value = [1, 2, 3];
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(400);
    private readonly NodeWorld _world = NodeWorld.Started(4);
    private readonly MeshKey _key;

    public UnknownPutTests()
    {
        _key = _world.KeyOf("n2", "n3", "n4", "n1");
        // n4 is to hold the value; the first owner hears it, and n4 hears no answer.
        _world.Network.Cut("n2", "n4");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_put_that_goes_on_to_another_holder_and_is_told_that_it_is_done_is_there(bool soon)
    {
        var put = _world.Run(_world["n1"], () => _world["n1"].Node.Operations.PutAsync(_key, Value, new PutOptions
        {
            Placement = Placement.Preferred, PreferredNode = "n4", Deadline = TimeSpan.FromSeconds(4),
        }, CancellationToken.None));
        Assert.Null(put.Error);
        AssertStays(soon);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void So_is_what_another_put_was_told_that_it_existed(bool soon)
    {
        Assert.Equal(MeshErrorCode.DeadlineExceeded, PutAtHolder(7, Short).Error?.Code);
        var again = _world.Put("n1", _key.ToString(), Value, holder: "n1");
        Assert.True(again.Succeeded, again.Error?.ToString());
        Assert.True(again.Value.Existed);
        AssertStays(soon);
    }

    [Fact]
    public void A_second_attempt_at_the_same_holder_waits_for_what_becomes_of_the_first()
    {
        Assert.Equal(MeshErrorCode.DeadlineExceeded, PutAtHolder(7, Short).Error?.Code);
        var heals = _world.Time.Elapsed + TimeSpan.FromSeconds(3);
        using var timer = _world.Time.CreateTimer(_ => _world.Network.Heal(), null, TimeSpan.FromSeconds(3),
            Timeout.InfiniteTimeSpan);
        var second = PutAtHolder(7, TimeSpan.FromSeconds(20));
        Assert.True(second.Succeeded, second.Error?.ToString());
        Assert.Equal((PutFate.Own, false), (second.Value.Fate, second.Value.Existed));
        Assert.True(_world.Time.Elapsed >= heals);
        AssertStays(soon: true);
    }

    [Fact]
    public void It_is_decided_by_the_second_owner_too_before_anybody_is_told()
    {
        var put = PutAtHolder(7, Short);
        Assert.False(put.Succeeded);
        // At n1, which answers that an earlier attempt of this put is on record.
        put = PutAtHolder(7, TimeSpan.FromSeconds(4), "n1");
        Assert.Equal((PutFate.Own, true), (put.Value.Fate, put.Value.Mirrored));
        var backup = _world["n3"].Node.Owner!.Table;
        int slot = backup.SlotOf(_key.Hash);
        Assert.True(backup.TryFind(slot, _key, out var record));
        Assert.Equal(7ul, record.ObjectId);
    }

    [Fact]
    public void What_is_removed_meanwhile_does_not_come_back()
    {
        Assert.False(PutAtHolder(7, Short).Succeeded);
        Assert.True(_world.Remove("n1", _key.ToString()).Succeeded);
        for (int i = 0; i < 150; i++)
        {
            _world.Advance(TimeSpan.FromMilliseconds(100));
            Assert.False(_world["n4"].Node.Holder.Store.TryFind(_key, out _), $"it came back after {i} steps");
        }

        _world.Network.Heal();
        AssertGone();
    }

    [Fact]
    public void What_no_owner_answers_for_is_freed_after_a_while()
    {
        foreach (string owner in new[] { "n1", "n2", "n3" })
        {
            _world.Network.Cut("n4", owner);
            _world.Network.Cut(owner, "n4");
        }

        var head = Head(7, Short) with { Key = _key };
        var request = new PutRequest(head, XxHash3.HashToUInt64(Value), Value);
        var put = _world.Run(_world["n4"], () => _world["n4"].Node.Operations.Context.Calls.PutAsync(
            _world["n4"].Node.View.Find("n4")!, request, Short, CancellationToken.None));
        Assert.False(put.Succeeded);
        Assert.True(_world["n4"].Node.Holder.Store.Usage.Used > 0);
        Assert.True(_world.Until(() => _world["n4"].Node.Holder.Store.Usage.Used == 0, TimeSpan.FromSeconds(65)));
        // The request arrives then, and must leave nothing that points to what is freed.
        _world.Network.Heal();
        _world.AssertSettles();
        AssertGone();
    }

    private static PutHead Head(ulong objectId, TimeSpan limit) =>
        new(new MeshKey(""), objectId, Value.Length, 1, false, (int)limit.TotalMilliseconds, false);

    private MeshResult<PutAnswer> PutAtHolder(ulong objectId, TimeSpan limit, string holder = "n4")
    {
        var request = new PutRequest(Head(objectId, limit) with { Key = _key }, XxHash3.HashToUInt64(Value), Value);
        var context = _world["n1"].Node.Operations.Context;
        return _world.Run(_world["n1"], () => context.Calls.PutAsync(context.View.Find(holder)!, request, limit,
            CancellationToken.None));
    }

    /// <summary>For a minute in which the way heals soon or late, and then with the first owner gone.</summary>
    private void AssertStays(bool soon)
    {
        for (int i = 0; i < 60; i++)
        {
            _world.Advance(TimeSpan.FromSeconds(1));
            var got = _world.Get("n1", _key.ToString());
            // Until it is there a get does not know, and says so.
            Assert.True(got.Succeeded ? got.Value.SequenceEqual(Value) : i <= (soon ? 2 : 40), $"second {i}: {got}");
            if (i == (soon ? 1 : 40))
                _world.Network.Heal();
        }

        _world["n2"].Kill();
        _world.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(Value, _world.Get("n1", _key.ToString()).Value);
        Assert.Equal(1, _world.Nodes.Where(node => node.IsUp).Sum(node => node.Node.Holder.Store.Usage.Objects));
    }

    private void AssertGone()
    {
        Assert.True(_world.Until(() => _world.Nodes.All(node => node.Node.Holder.Store.Usage.Used == 0
            && node.Node.Holder.Dropped.Count == 0), TimeSpan.FromSeconds(20)));
        Assert.Equal([], _world.Get("n1", _key.ToString()).Value);
    }
}
