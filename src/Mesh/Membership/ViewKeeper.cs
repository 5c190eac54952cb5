// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// Holds the view and decides which one follows it. Thread-safe.
/// <para>
/// A view's name is (epoch, revision, digest). The revision is one at which the registry held these members: that of
/// the last event seen, or that of a listing that showed a change whose event was missed. So within an epoch two nodes
/// that follow the registry never give one (epoch, revision) to different members.
/// </para>
/// <para>
/// The exception is the add-only window after an outage or a wipe: the view then holds the registry's members and
/// those of the view before that the registry does not (yet) hold. Two nodes may then have one (epoch, revision) with
/// different digests, for at most the window. When it ends the registry's truth is adopted; if nothing happened
/// meanwhile, that is a view of the same (epoch, revision) with another digest. Such a view is adopted from our own
/// listing or watch alone, never from a peer, so nodes cannot pass a wrong one around.
/// </para>
/// </summary>
internal sealed class ViewKeeper(MeshRuntime runtime, ILogger log, RegistryHealth health)
{
    private readonly Lock _gate = new();
    private readonly RegistryMirror _mirror = new();
    private readonly List<Action<MeshView, MeshView>> _subscribers = [];
    private volatile MeshView _view = MeshView.Empty;
    private MeshView _told = MeshView.Empty;
    private bool _telling;
    private bool _closed;
    private long _greatestEpoch;

    public MeshView View => _view;

    /// <summary>Calls the subscribers from now on, one change at a time, on the scheduler of the runtime.</summary>
    public void Subscribe(Action<MeshView, MeshView> subscriber)
    {
        lock (_gate)
            _subscribers.Add(subscriber);
    }

    /// <summary>Told of the counter of removals of everything, once it is known and when it rises.</summary>
    public Action<long>? OnCleared { get; set; }

    /// <summary>No subscriber is called any more.</summary>
    public void Close()
    {
        lock (_gate)
            _closed = true;
    }

    /// <summary>What is known before a listing begins: only against this can its revision have fallen.</summary>
    public ListingBaseline BeforeListing()
    {
        lock (_gate)
        {
            long seen = _view.Id.Epoch == _mirror.Epoch ? Math.Max(_mirror.UpTo, _view.Id.Revision) : _view.Id.Revision;
            return new ListingBaseline(_view.Config, seen);
        }
    }

    /// <summary>
    /// Takes a listing; null when it is taken, or the config to write in its place, guarded on the one it listed.
    /// </summary>
    public ConfigRewrite? ApplyListing(RegistryListing listing, ListingBaseline baseline)
    {
        var found = listing.Entries.FirstOrDefault(entry => entry.Key == RegistryMirror.ConfigKey);
        var config = found is null ? null : MeshConfig.FromJson(found.Value);
        if (config is { IsUsable: false })
            config = null;
        lock (_gate)
        {
            if (_view.Config.MeshId != baseline.Config.MeshId || _view.Config.Epoch != baseline.Config.Epoch)
                baseline = new ListingBaseline(_view.Config, 0);
            if (runtime.Policies.Config.Judge(config, listing.Revision, baseline, _greatestEpoch) is { } next)
            {
                _greatestEpoch = Math.Max(_greatestEpoch, config?.Epoch ?? 0);
                return new ConfigRewrite(next, found?.ModRevision ?? 0);
            }

            // Before the first view there is no mesh of ours to write: the start makes one.
            if (config is null)
                throw new RegistryException(RegistryFailure.Unavailable, "the mesh's config is missing");
            // A listing that was overtaken by the watch or by another listing shows nothing new.
            bool samePast = config.Epoch == _mirror.Epoch && config.MeshId == _mirror.Config?.MeshId;
            if (samePast && listing.Revision < _mirror.UpTo)
                return null;
            if (_view.Config.MeshId != 0 && config.Epoch > _view.Config.Epoch)
                health.NotePastLost();
            _mirror.Take(listing, config, samePast);
            Settle();
        }

        TellCleared();
        Tell();
        return null;
    }

    /// <summary>Takes events of the watch.</summary>
    /// <returns>Whether the config changed, so that a listing must tell what it means.</returns>
    public bool ApplyEvents(IReadOnlyList<RegistryEvent> events)
    {
        bool configChanged;
        lock (_gate)
        {
            configChanged = _mirror.Apply(events);
            // Under another config the members belong to another past; the listing that follows sorts it out.
            if (!configChanged)
                Settle();
        }

        TellCleared();
        Tell();
        return configChanged;
    }

    /// <summary>Takes a newer view from a peer.</summary>
    public bool Offer(MeshView offered)
    {
        lock (_gate)
        {
            bool ours = _view.Config.MeshId == 0 || offered.Config.MeshId == _view.Config.MeshId ||
                offered.Config.Replaces.Contains(_view.Config.MeshId);
            if (_closed || !ours || !offered.Config.IsUsable || !offered.Id.IsNewerThan(_view.Id))
                return false;
            if (offered.Config.Epoch > _view.Config.Epoch && _view.Config.MeshId != 0)
                health.NotePastLost();
            Publish(offered.Config, offered.Id.Revision, offered.Members, offered.Past);
        }

        Tell();
        return true;
    }

    /// <summary>Where the watch after the last listing begins.</summary>
    public long WatchFrom
    {
        get
        {
            lock (_gate)
                return _mirror.WatchFrom;
        }
    }

    /// <summary>Events were lost for good.</summary>
    public void NoteMissed()
    {
        lock (_gate)
            _mirror.Missed();
    }

    /// <summary>Counters of the namespaces' removals that the registry holds too low, or not at all.</summary>
    public IReadOnlyList<(string Key, long Value, long ModRevision)> LostCounters()
    {
        lock (_gate)
            return _mirror.LostCounters();
    }

    /// <summary>
    /// Our config was written; its epoch is known from now on, even if the registry forgets it again.
    /// </summary>
    public void NoteEpoch(long epoch)
    {
        lock (_gate)
            _greatestEpoch = Math.Max(_greatestEpoch, epoch);
    }

    private void Settle()
    {
        if (_mirror.Config is not { } config)
            return;
        // A peer may have shown a later view of the same epoch than the watch has delivered: wait for the watch.
        if (config.Epoch < _view.Id.Epoch || (config.Epoch == _view.Id.Epoch && _mirror.UpTo < _view.Id.Revision))
            return;
        long revision = config.Epoch > _view.Id.Epoch
            ? _mirror.LastEvent
            : Math.Max(_mirror.LastEvent, _view.Id.Revision);
        Publish(config, revision, _mirror.Members, _mirror.Past);
    }

    private void Publish(MeshConfig config, long revision, IReadOnlyCollection<NodeRecord> members, RingPast past)
    {
        var next = members;
        if (health.AddOnlyLeft > TimeSpan.Zero)
        {
            var present = members.Select(member => member.NodeId).ToHashSet(StringComparer.Ordinal);
            next = [.. members, .. _view.Members.Where(member => !present.Contains(member.NodeId))];
        }

        var view = new MeshView(config, revision, next, _view, past);
        if (view.Id == _view.Id)
            return;
        _greatestEpoch = Math.Max(_greatestEpoch, config.Epoch);
        _view = view;
    }

    private void TellCleared()
    {
        long cleared;
        lock (_gate)
            cleared = _mirror.ClearedOf(ClearCounter.DefaultNamespace);
        OnCleared?.Invoke(cleared);
    }

    private void Tell()
    {
        lock (_gate)
        {
            if (_telling || _closed || ReferenceEquals(_told, _view))
                return;
            _telling = true;
        }

        _ = runtime.Start(TellAsync);
    }

    private Task TellAsync()
    {
        while (true)
        {
            MeshView previous;
            MeshView next;
            Action<MeshView, MeshView>[] subscribers;
            lock (_gate)
            {
                if (_closed || ReferenceEquals(_told, _view))
                {
                    _telling = false;
                    return Task.CompletedTask;
                }

                (previous, next) = (_told, _view);
                _told = next;
                subscribers = [.. _subscribers];
            }

            foreach (var subscriber in subscribers)
            {
                try
                {
                    subscriber(previous, next);
                }
                catch (Exception e)
                {
                    log.LogError(e, "a subscriber failed at the change from view {Previous} to {Next}",
                        previous.Id, next.Id);
                }
            }
        }
    }
}
