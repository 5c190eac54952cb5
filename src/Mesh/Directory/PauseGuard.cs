// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Rule A8: a node that was paused, or that neither the registry nor a peer has confirmed lately, may have been
/// expelled without knowing. Until its view is confirmed again it answers owner calls Unsure; after a pause the slots
/// it shares are incomplete until they are streamed or reconciled anew. Ticked ten times a second by one loop.
/// </summary>
internal sealed class PauseGuard(OwnerService owner, SlotStates states, SlotKeeper keeper, TimeProvider time,
    TimeSpan leaseTtl, ILogger log)
{
    /// <summary>Pings come once a second: two and a half of them.</summary>
    private static readonly TimeSpan PeerWordLasts = TimeSpan.FromMilliseconds(2500);

    private readonly TimeSpan _latest = leaseTtl / 3;
    private long _lastTick;
    private long _distrustBefore;
    private long _lastPeerWord;
    private long _lastOtherWord;

    /// <summary>Ticks that came too late.</summary>
    public long Pauses { get; private set; }

    /// <summary>A peer answered a ping with its view.</summary>
    public void PeerSaid(ViewId view)
    {
        var mine = states.Current.View.Id;
        if (view.Digest == mine.Digest)
            Volatile.Write(ref _lastPeerWord, time.GetTimestamp());
        else if (!mine.IsNewerThan(view))
            Volatile.Write(ref _lastOtherWord, time.GetTimestamp());
    }

    /// <summary>Looks at the clock; <paramref name="keepAliveAge"/>: since the last good beat of our lease.</summary>
    public void Tick(TimeSpan? keepAliveAge)
    {
        long now = time.GetTimestamp();
        if (_lastTick != 0 && time.GetElapsedTime(_lastTick, now) > _latest)
        {
            Pauses++;
            log.LogWarning("paused ms={Milliseconds:0} most={Most:0}",
                time.GetElapsedTime(_lastTick, now).TotalMilliseconds, _latest.TotalMilliseconds);
            _distrustBefore = now;
            SharedSlotsIncomplete();
        }

        _lastTick = now;
        bool confident = IsConfirmed(now, keepAliveAge);
        if (confident != owner.Confident)
        {
            log.LogInformation("view_confirmed now={Confirmed} keepalive_ms={Age:0}", confident,
                keepAliveAge?.TotalMilliseconds ?? -1);
        }

        owner.Confident = confident;
    }

    private bool IsConfirmed(long now, TimeSpan? keepAliveAge)
    {
        if (states.Current.View.Members.Count <= 1)
            return true;
        var sinceDistrust = _distrustBefore == 0 ? TimeSpan.MaxValue : time.GetElapsedTime(_distrustBefore, now);
        if (keepAliveAge is { } age && age <= leaseTtl * 2 / 3 && age < sinceDistrust)
            return true;
        // Some of us may have been expelled together, and confirm each other: one who goes on without us says so.
        long other = Volatile.Read(ref _lastOtherWord);
        if (other != 0 && time.GetElapsedTime(other, now) <= PeerWordLasts)
            return false;
        long word = Volatile.Read(ref _lastPeerWord);
        return word != 0 && word > _distrustBefore && time.GetElapsedTime(word, now) <= PeerWordLasts;
    }

    private void SharedSlotsIncomplete()
    {
        if (states.Current.View.Members.Count <= 1)
            return;
        for (int slot = 0; slot < states.Slots; slot++)
        {
            if (states.IsComplete(slot))
                states.SetIncomplete(slot);
        }

        keeper.Wake();
    }
}
