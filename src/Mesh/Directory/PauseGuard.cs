// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Rule A8: a node that was paused, or that neither the registry nor a peer has confirmed lately, may have been
/// expelled without knowing. Until its view is confirmed again it answers owner calls Unsure; after a pause the slots
/// it shares are incomplete until they are streamed or reconciled anew. Ticked ten times a second by one loop.
/// </summary>
internal sealed class PauseGuard(OwnerService owner, SlotStates states, Action wakeKeeper, TimeProvider time,
    TimeSpan leaseTtl, ILogger log)
{
    /// <summary>Pings come once a second: two and a half of them.</summary>
    private static readonly TimeSpan PeerWordLasts = TimeSpan.FromMilliseconds(2500);

    /// <summary>Others act for a node that has been silent for three pings: it must have noticed by then.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    private readonly TimeSpan _latest = leaseTtl / 3 < LongestPause ? leaseTtl / 3 : LongestPause;
    private bool _ticked;
    private bool _confident = true;
    private volatile bool _byRegistry;
    private long _lastTick;
    private long? _distrustBefore;
    private long _lastPeerWord = long.MinValue;
    private volatile OtherView? _other;

    /// <summary>Ticks that came too late.</summary>
    public long Pauses { get; private set; }

    /// <summary>
    /// A peer answered a ping of <paramref name="asked"/> with its view. What was asked before a pause says nothing:
    /// the answer may have lain in the socket all the while.
    /// </summary>
    public void PeerSaid(ViewId view, long asked)
    {
        if (view.Digest == states.Current.View.Id.Digest && asked > Volatile.Read(ref _lastPeerWord))
            Volatile.Write(ref _lastPeerWord, asked);
        else
            PeerShowed(view);
    }

    /// <summary>
    /// A peer showed its view. While only peers confirm ours, one that goes on in another, perhaps without us, ends our
    /// trust in it at once.
    /// </summary>
    public void PeerShowed(ViewId view)
    {
        var mine = states.Current.View.Id;
        if (view.Digest == mine.Digest || mine.IsNewerThan(view) || !mine.MayBeReplacedBy(view))
            return;
        _other = new OtherView(view, time.GetTimestamp());
        if (_byRegistry)
            return;
        owner.TrustFor(TimeSpan.Zero);
        // Ours will follow on another one: nothing in it says what was decided in this.
        if (view.IsApartFrom(mine))
        {
            states.DoubtView();
            wakeKeeper();
        }
    }

    /// <summary>Looks at the clock; <paramref name="keepAliveAge"/>: since the last good beat of our lease.</summary>
    /// <param name="keepAliveAge">Null: there was none that says anything of our view.</param>
    /// <param name="isMember">Whether this life of the node is in the view; a namesake of another life may be.</param>
    public void Tick(TimeSpan? keepAliveAge, bool isMember = true)
    {
        long now = time.GetTimestamp();
        if (_ticked && time.GetElapsedTime(_lastTick, now) > _latest)
        {
            Pauses++;
            log.LogWarning("paused ms={Milliseconds:0} most={Most:0}",
                time.GetElapsedTime(_lastTick, now).TotalMilliseconds, _latest.TotalMilliseconds);
            _distrustBefore = now;
            SharedSlotsIncomplete();
        }

        (_ticked, _lastTick) = (true, now);
        bool confident = IsConfirmed(now, keepAliveAge) && isMember;
        if (confident != _confident)
        {
            log.LogInformation("view_confirmed now={Confirmed} keepalive_ms={Age:0}", confident,
                keepAliveAge?.TotalMilliseconds ?? -1);
        }

        _confident = confident;
        owner.TrustFor(confident ? _latest : TimeSpan.Zero);
    }

    private bool IsConfirmed(long now, TimeSpan? keepAliveAge)
    {
        if (states.Current.View.Members.Count <= 1)
            return true;
        var sinceDistrust = _distrustBefore is { } distrust ? time.GetElapsedTime(distrust, now) : TimeSpan.MaxValue;
        _byRegistry = keepAliveAge is { } age && age <= leaseTtl * 2 / 3 && age < sinceDistrust;
        if (_byRegistry)
            return true;
        // Some of us may have been expelled together, and confirm each other: one who goes on without us says so.
        if (_other is { } other && !states.Current.View.Id.IsNewerThan(other.View)
            && states.Current.View.Id.Digest != other.View.Digest
            && time.GetElapsedTime(other.ShownAt, now) <= PeerWordLasts)
            return false;
        long word = Volatile.Read(ref _lastPeerWord);
        if (word == long.MinValue)
            return false;
        var wordAge = time.GetElapsedTime(word, now);
        return wordAge < sinceDistrust && wordAge <= PeerWordLasts;
    }

    private void SharedSlotsIncomplete()
    {
        if (states.Current.View.Members.Count <= 1)
            return;
        for (int slot = 0; slot < states.Slots; slot++)
        {
            if (states.Owns(slot))
                states.SetDoubted(slot);
        }

        wakeKeeper();
    }

    /// <summary>A view that is not ours, nor older, and when a peer showed it.</summary>
    private sealed record OtherView(ViewId View, long ShownAt);
}
