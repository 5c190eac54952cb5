// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh;

/// <summary>
/// What a node does once a view is without it (rule A8). It keeps its memory, registers again and reconciles at once.
/// After more than 5 minutes it drops its objects and goes on under a new incarnation: a key removed meanwhile could
/// otherwise come back, because tombstones do not live for ever. The time runs from the end of its lease on its own
/// clock, so a process that was stopped counts it too.
/// <para>
/// Who was cut off from registry and peers alike may be back before it sees such a view. Then a peer tells of it, in
/// the answer to a ping. With the registry away from everybody no view loses a member, and nothing is dropped.
/// </para>
/// </summary>
internal sealed class Expulsion(MembershipService membership, HolderParts holder, OwnIncarnation incarnation,
    string nodeId, TimeSpan leaseTtl, MeshRuntime runtime)
{
    private static readonly TimeSpan LongestAway = TimeSpan.FromMinutes(5);
    private const int PageObjects = 256;

    private readonly Lock _lock = new();
    private readonly ILogger _log = runtime.Log.CreateLogger("mesh.node");
    private long? _since;
    private ViewId? _doubt;
    private ViewId _lastGood;
    private bool _renewing;

    /// <summary>Views that lost this node, or that it learnt of afterwards.</summary>
    public long Expulsions { get; private set; }

    /// <summary>Times that it dropped everything and took a new incarnation.</summary>
    public long Renewals { get; private set; }

    /// <summary>Whether its view is without it.</summary>
    public bool IsExpelled
    {
        get
        {
            lock (_lock)
                return _since is not null;
        }
    }

    /// <summary>A new view, perhaps without us or with us again.</summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        var before = previous.Find(nodeId, incarnation.Value);
        var now = next.Find(nodeId, incarnation.Value);
        var status = membership.Status;
        lock (_lock)
        {
            if (before is not null && now is null)
                Expelled(next, status.KeepAliveAge ?? TimeSpan.Zero);
            else if (now is not null && _since is { } since)
                Returned(next, runtime.Time.GetElapsedTime(since));
            else if (before is not null && now is not null && before.Session != now.Session)
                BackUnseen();
        }
    }

    /// <summary>A peer's latest view without us, from the answer to a ping.</summary>
    public void PeerSaid(ViewId without)
    {
        var status = membership.Status;
        lock (_lock)
        {
            // The view can be there before our own registration has ended: then the next ping will do.
            bool registered = membership.View.Find(nodeId)?.Session == status.Lease;
            if (_doubt is not { } before || !registered
                || !(without.IsNewerThan(before) || without.IsOfAnotherMesh(before)))
                return;
            _doubt = null;
            Expulsions++;
            var away = status.LastAbsence - leaseTtl;
            _log.LogWarning("expelled_unseen view={View} away_ms={Away:0}", without, away.TotalMilliseconds);
            if (away > LongestAway)
                Renew();
        }
    }

    /// <summary>Looks at the clock and the lease.</summary>
    public void Tick()
    {
        var status = membership.Status;
        var view = membership.View;
        bool good = status.KeepAliveAge < leaseTtl && view.Find(nodeId)?.Session == status.Lease;
        lock (_lock)
        {
            if (good)
                _lastGood = view.Id;
            if (_since is { } since && runtime.Time.GetElapsedTime(since) > LongestAway)
                Renew();
        }
    }

    private void Expelled(MeshView view, TimeSpan sinceBeat)
    {
        Expulsions++;
        _doubt = null;
        var already = sinceBeat > leaseTtl ? sinceBeat - leaseTtl : TimeSpan.Zero;
        _since = runtime.Time.GetTimestamp() - (long)(already.TotalSeconds * runtime.Time.TimestampFrequency);
        _log.LogWarning("expelled view={View} since_ms={Since:0}", view.Id, already.TotalMilliseconds);
    }

    private void Returned(MeshView view, TimeSpan away)
    {
        _log.LogInformation("returned view={View} away_ms={Away:0}", view.Id, away.TotalMilliseconds);
        if (away > LongestAway)
        {
            Renew();
            return;
        }

        _since = null;
        holder.Reconciler.MeshChanged();
    }

    private void BackUnseen()
    {
        // Not the view before this one: without a lease it may be one of those we were not in, with us added.
        _doubt = _lastGood;
        holder.Reconciler.MeshChanged();
    }

    private void Renew()
    {
        _since = null;
        if (_renewing)
            return;
        _renewing = true;
        Renewals++;
        _ = runtime.Start(RenewAsync);
    }

    private async Task RenewAsync()
    {
        ulong former = incarnation.Value;
        int dropped = await DropAllAsync();
        // Puts under way fail from here on, or end in objects that the second round drops.
        incarnation.Renew(runtime.Random.NextUInt64());
        dropped += await DropAllAsync();
        membership.Renew(incarnation.Value);
        _log.LogWarning("renewed former={Former:x16} incarnation={Incarnation:x16} dropped={Dropped}", former,
            incarnation.Value, dropped);
        lock (_lock)
            _renewing = false;
    }

    private async Task<int> DropAllAsync()
    {
        var page = new List<HeldObject>();
        int dropped = 0;
        ulong from = 0;
        while (true)
        {
            page.Clear();
            int found = holder.Store.ListRange(from, ulong.MaxValue, PageObjects, page);
            foreach (var held in page)
                dropped += holder.Store.Drop(held.Key, held.ObjectId) ? 1 : 0;
            if (found < PageObjects || page[^1].Key.Hash == ulong.MaxValue)
                return dropped;
            from = page[^1].Key.Hash + 1;
            await Task.Yield();
        }
    }
}
