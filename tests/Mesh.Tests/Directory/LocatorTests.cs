// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;

namespace Mooncake.Mesh.Tests.Directory;

/// <summary>A peer's question gets the answer that a caller in this process gets.</summary>
public sealed class LocatorTests : IDisposable
{
    private readonly OwnerWorld _world = new();

    [Fact]
    public void A_batch_gets_one_answer_per_key_in_order()
    {
        var keys = Enumerable.Range(0, 500).Select(i => new MeshKey($"key-{i}")).ToArray();
        for (int i = 0; i < keys.Length; i += 3)
            _world.Mirror(keys[i], OwnerWorld.Offer((ulong)i + 1) with { Version = new RecordVersion(1, 10, i + 1) });
        var request = new LocateRequest(keys, Mark: false);
        var here = _world.Owner.Locate(request);
        var there = _world.LocateOverTheWire(request);
        Assert.Equal(here.View, there.View);
        Assert.Equal(keys.Length, there.Count);
        for (int i = 0; i < keys.Length; i++)
        {
            Assert.Equal(here.CodeOf(i), there.CodeOf(i));
            Assert.Equal(i % 3 == 0, there.CodeOf(i) == OwnerCode.Yes);
            Assert.Equal(here.RecordOf(i)?.ObjectId, there.RecordOf(i)?.ObjectId);
            Assert.Equal(here.RecordOf(i)?.Version, there.RecordOf(i)?.Version);
            Assert.Equal(here.RecordOf(i)?.Replicas ?? [], there.RecordOf(i)?.Replicas ?? []);
        }
    }

    [Fact]
    public void Codes_alone_bring_no_records_and_set_no_mark()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(7));
        var answer = _world.LocateOverTheWire(new LocateRequest([key], Mark: false, CodesOnly: true));
        Assert.Equal(OwnerCode.Yes, answer.CodeOf(0));
        Assert.Null(answer.RecordOf(0));
        Assert.Equal(OwnerCode.Yes, _world.Retract(key, 7));
    }

    [Fact]
    public void A_mark_asked_for_over_the_wire_keeps_the_object()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(7));
        _world.LocateOverTheWire(new LocateRequest([key], Mark: true));
        Assert.Equal(OwnerCode.Kept, _world.Retract(key, 7));
    }

    [Fact]
    public void A_small_value_that_the_owner_holds_comes_along()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(7));
        var values = new FixedValues(OwnerWorld.IncarnationOf("n1"), new byte[100]);
        _world.Owner.Values = values;
        Assert.Equal(100, _world.LocateOverTheWire(new LocateRequest([key], false, Inline: 100)).ValueOf(0).Length);
        Assert.Equal(0, _world.LocateOverTheWire(new LocateRequest([key], false, Inline: 99)).ValueOf(0).Length);
        Assert.Equal(0, _world.LocateOverTheWire(new LocateRequest([key], false)).ValueOf(0).Length);
        values.Gone = true;
        var without = _world.LocateOverTheWire(new LocateRequest([key], false, Inline: 100));
        Assert.Equal(0, without.ValueOf(0).Length);
        Assert.Equal(7ul, without.RecordOf(0)!.ObjectId);
    }

    [Fact]
    public void A_value_of_another_holder_does_not_come_along()
    {
        var key = _world.KeyAt(0);
        _world.Publish(key, OwnerWorld.Offer(7, "n2"));
        _world.Owner.Values = new FixedValues(OwnerWorld.IncarnationOf("n1"), new byte[100]);
        Assert.Equal(0, _world.LocateOverTheWire(new LocateRequest([key], false, Inline: 100)).ValueOf(0).Length);
    }

    [Fact]
    public void Values_of_a_batch_stay_below_their_bound()
    {
        var keys = Enumerable.Range(0, 1000).Select(i => new MeshKey($"key-{i}")).ToArray();
        var offer = OwnerWorld.Offer(1) with { Size = 1000 };
        foreach (var key in keys)
            _world.Mirror(key, offer with { Version = new RecordVersion(1, 10, 1) });
        _world.Owner.Values = new FixedValues(OwnerWorld.IncarnationOf("n1"), new byte[1000]);
        var answer = _world.LocateOverTheWire(new LocateRequest(keys, false, Inline: 1000));
        int values = Enumerable.Range(0, keys.Length).Count(i => answer.ValueOf(i).Length > 0);
        Assert.Equal(Wire.MaxInline / 1000, values);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Only_one_that_may_deny_says_that_nobody_has_anything_later(bool known)
    {
        MeshKey own = _world.KeyAt(0), other = _world.KeyAt(1);
        foreach (var key in known ? [own, other] : Array.Empty<MeshKey>())
            _world.Mirror(key, OwnerWorld.Offer(7) with { Version = new RecordVersion(1, 10, 1) });
        Assert.True(IsFinal(own));
        Assert.False(IsFinal(other));
        _world.States.SetIncomplete(_world.SlotOf(own));
        Assert.False(IsFinal(own));
        Assert.True(_world.LocateOverTheWire(new LocateRequest([own], false)).IsFinal);

        bool IsFinal(MeshKey key)
        {
            var request = new LocateRequest([key], false, Final: true);
            var answer = _world.LocateOverTheWire(request);
            Assert.Equal(known, answer.CodeOf(0) == OwnerCode.Yes);
            Assert.Equal(_world.Owner.Locate(request).IsFinal, answer.IsFinal);
            return answer.IsFinal;
        }
    }

    [Fact]
    public void What_does_not_fit_in_a_frame_is_left_to_be_asked_again()
    {
        var keys = Enumerable.Range(0, Wire.MaxBatch).Select(i => new MeshKey($"key-{i}")).ToArray();
        var replicas = Enumerable.Range(0, Wire.MaxReplicas)
            .Select(i => new Replica(OwnerWorld.IncarnationOf("n1"), 0, long.MaxValue - i, ulong.MaxValue)).ToArray();
        var record = OwnerWorld.Offer(1) with { Version = new RecordVersion(1, 10, 1), Replicas = replicas };
        foreach (var key in keys)
            _world.Mirror(key, record);
        var answer = _world.LocateOverTheWire(new LocateRequest(keys, false));
        int answered = Enumerable.Range(0, keys.Length).TakeWhile(i => answer.CodeOf(i) == OwnerCode.Yes).Count();
        Assert.InRange(answered, 1, keys.Length - 1);
        Assert.All(Enumerable.Range(answered, keys.Length - answered),
            i => Assert.Equal(OwnerCode.Unsure, answer.CodeOf(i)));
    }

    public void Dispose() => _world.Dispose();

    /// <summary>A holder whose every extent has the same bytes.</summary>
    private sealed class FixedValues(ulong incarnation, byte[] value) : IInlineValues
    {
        public ulong Incarnation => incarnation;

        public bool Gone { get; set; }

        public bool TryWrite(in Replica replica, long size, ref MessagePackWriter writer)
        {
            if (Gone)
                return false;
            writer.Write(value.AsSpan(0, (int)size));
            return true;
        }
    }
}
