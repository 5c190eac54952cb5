// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;

namespace Mooncake.Mesh.Tests.Directory;

public sealed class PauseGuardTests : IDisposable
{
    private static readonly TimeSpan Ttl = TimeSpan.FromSeconds(9);
    private static readonly TimeSpan Tenth = TimeSpan.FromMilliseconds(100);

    private readonly OwnerWorld _world = new();
    private readonly PauseGuard _guard;
    private long _lastBeat;
    private int _wakes;

    public PauseGuardTests()
    {
        _guard = new PauseGuard(_world.Owner, _world.States, () => _wakes++, _world.Time, Ttl, NullLogger.Instance);
        _world.Time.Advance(TimeSpan.FromSeconds(1));
        Beat();
        Tick();
    }

    public void Dispose() => _world.Dispose();

    [Fact]
    public void A_node_in_touch_with_the_registry_is_confident()
    {
        for (int i = 0; i < 300; i++)
        {
            if (i % 30 == 0)
                Beat();
            Pass(Tenth);
            Assert.True(_world.Owner.Confident);
        }

        Assert.Equal(0, _guard.Pauses);
        Assert.Equal(OwnerCode.Absent, _world.Locate(_world.KeyAt(0)).Code);
    }

    [Fact]
    public void After_a_pause_it_answers_unsure_until_a_later_beat_is_answered_and_its_slots_are_incomplete()
    {
        _world.Time.Advance(Ttl / 3 - Tenth);
        Beat();
        Pass(Tenth * 2);
        Assert.Equal(1, _guard.Pauses);
        Assert.Equal(1, _wakes);
        Assert.Equal(0, _world.States.Count().Complete);
        Assert.Equal(OwnerCode.Unsure, _world.Locate(_world.KeyAt(0)).Code);
        Assert.Equal(OwnerCode.Unsure, _world.Publish(_world.KeyAt(0), OwnerWorld.Offer(1), insist: true).Code);
        Pass(Tenth);
        // Answered before the pause was noticed: it may be as old as the pause.
        Assert.False(_world.Owner.Confident);
        Beat();
        Pass(Tenth);
        Assert.True(_world.Owner.Confident);
        Assert.Equal(OwnerCode.Unsure, _world.Locate(_world.KeyAt(0)).Code);
        Assert.Equal(1, _guard.Pauses);
    }

    [Fact]
    public void A_tick_that_is_just_in_time_is_no_pause()
    {
        // A third of the TTL, and no more than others wait before they act for a silent node.
        var most = TimeSpan.FromSeconds(Math.Min(Ttl.TotalSeconds / 3, 2));
        Pass(most);
        Assert.Equal(0, _guard.Pauses);
        Assert.True(_world.States.Count().Complete > 0);
        Pass(most + TimeSpan.FromTicks(1));
        Assert.Equal(1, _guard.Pauses);
    }

    [Fact]
    public void What_wakes_before_the_clock_was_looked_at_is_not_confident()
    {
        Assert.True(_world.Owner.Confident);
        _world.Time.Advance(Ttl);
        Assert.False(_world.Owner.Confident);
        Assert.Equal(OwnerCode.Unsure, _world.Locate(_world.KeyAt(0)).Code);
    }

    [Fact]
    public void With_the_registry_away_the_word_of_a_peer_suffices_while_it_is_fresh()
    {
        Outlive(Ttl * 2 / 3);
        Assert.False(_world.Owner.Confident);
        _guard.PeerSaid(_world.View.Id, _world.Time.GetTimestamp());
        Pass(Tenth);
        Assert.True(_world.Owner.Confident);
        Outlive(TimeSpan.FromSeconds(2.6));
        Assert.False(_world.Owner.Confident);
    }

    [Fact]
    public void A_peer_in_another_view_confirms_nothing()
    {
        Outlive(Ttl * 2 / 3);
        _guard.PeerSaid(OwnerWorld.ViewOf(11, "n1", "n2").Id, _world.Time.GetTimestamp());
        Pass(Tenth);
        Assert.False(_world.Owner.Confident);
    }

    /// <summary>
    /// One that began anew in the registry has numbers of its own; one that took our place a greater epoch.
    /// </summary>
    [Theory]
    [InlineData(0, true)]
    [InlineData(1, false)]
    public void Of_another_mesh_only_one_that_may_have_replaced_ours_ends_our_trust(int epochs, bool confident)
    {
        var theirs = OwnerWorld.ViewOf(11, "n1", "n2").Id;
        theirs = theirs with { Mesh = theirs.Mesh + 1, Epoch = theirs.Epoch + epochs };
        Outlive(Ttl * 2 / 3);
        _guard.PeerSaid(_world.View.Id, _world.Time.GetTimestamp());
        Pass(Tenth);
        Assert.True(_world.Owner.Confident);
        _guard.PeerShowed(theirs);
        Assert.Equal(confident, _world.Owner.Confident);
        Assert.Null(_world.States.Doubt);
        Pass(Tenth);
        Assert.Equal(confident, _world.Owner.Confident);
    }

    [Fact]
    public void A_peer_in_another_view_of_our_number_leaves_no_slot_complete_unless_the_registry_confirms_ours()
    {
        var rival = OwnerWorld.ViewOf(10, "n1", "n2").Id;
        _guard.PeerShowed(rival);
        Assert.True(_world.States.Count().Complete > 0);
        Outlive(Ttl * 2 / 3);
        int wakes = _wakes;
        _guard.PeerShowed(OwnerWorld.ViewOf(11, "n1", "n2").Id);
        Assert.Null(_world.States.Doubt);
        _guard.PeerShowed(rival);
        Assert.Equal(_world.View, _world.States.Doubt);
        Assert.Equal(0, _world.States.Count().Complete);
        Assert.Equal(wakes + 1, _wakes);
        // The next view is ours and no later one of theirs: it says nothing of what they decided.
        _world.States.Settle(_world.View, RingSince.Another);
        _world.Adopt(OwnerWorld.ViewOf(11, "n1", "n2", "n3"));
        Assert.Equal(0, _world.States.Count().Complete);
    }

    [Fact]
    public void Nor_does_the_answer_to_a_ping_from_before_the_pause()
    {
        long asked = _world.Time.GetTimestamp();
        Pass(Ttl);
        _guard.PeerSaid(_world.View.Id, asked);
        Pass(Tenth);
        Assert.False(_world.Owner.Confident);
        _guard.PeerSaid(_world.View.Id, _world.Time.GetTimestamp());
        Pass(Tenth);
        Assert.True(_world.Owner.Confident);
        // An older answer that comes late takes nothing back.
        _guard.PeerSaid(_world.View.Id, asked);
        Pass(Tenth);
        Assert.True(_world.Owner.Confident);
    }

    [Fact]
    public void A_node_alone_needs_nobody()
    {
        _world.Adopt(OwnerWorld.ViewOf(11, "n1"));
        for (int slot = 0; slot < OwnerWorld.Slots; slot++)
            _world.States.SetComplete(slot, _world.States.PlaceOf(slot), _world.States.Stamp);
        Pass(Ttl * 100);
        Assert.Equal(1, _guard.Pauses);
        Assert.True(_world.Owner.Confident);
        Assert.Equal(OwnerWorld.Slots, _world.States.Count().Complete);
    }

    [Theory]
    [InlineData(1_000)]
    [InlineData(-1_000)]
    public void The_wall_clock_does_not_matter(int days)
    {
        _world.Time.WallClockJump = TimeSpan.FromDays(days);
        Pass(Tenth);
        Assert.Equal(0, _guard.Pauses);
        Assert.True(_world.Owner.Confident);
        Assert.Equal(OwnerCode.Absent, _world.Locate(_world.KeyAt(0)).Code);
    }

    private void Beat() => _lastBeat = _world.Time.GetTimestamp();

    private void Tick() => _guard.Tick(_world.Time.GetElapsedTime(_lastBeat));

    /// <summary>Time passes without a tick, then one comes.</summary>
    private void Pass(TimeSpan time)
    {
        _world.Time.Advance(time);
        Tick();
    }

    /// <summary>Time passes with a tick every tenth of a second.</summary>
    private void Outlive(TimeSpan time)
    {
        for (var passed = TimeSpan.Zero; passed <= time; passed += Tenth)
            Pass(Tenth);
    }
}
