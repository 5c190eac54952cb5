// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// Follows the registry: a linearizable listing, then a watch from the one before it on, again at least every re-list
/// interval and after every end, compaction and loss. The watch is opened anew with each listing, so one that has
/// silently died costs one interval at most; what it has not told the next one does.
/// </summary>
internal sealed class WatchLoop(
    IMeshRegistry registry, MeshRuntime runtime, MembershipOptions options, RegistryHealth health, ViewKeeper keeper,
    SessionLoop session, string nodeId)
{
    private static readonly TimeSpan SettledWatch = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan WatchStopLimit = TimeSpan.FromSeconds(1);

    private readonly RegistryBackoff _backoff = new(runtime.Random);
    private readonly WakeSignal _wanted = new(runtime.Time);
    private long _generation;
    private long _listings;
    private long _watchEnds;

    /// <summary>Listings taken.</summary>
    public long Listings => Interlocked.Read(ref _listings);

    /// <summary>Watches that ended without our wish.</summary>
    public long WatchEnds => Interlocked.Read(ref _watchEnds);

    private string OwnKey => RegistryMirror.NodePrefix + nodeId;

    /// <summary>
    /// Lists once; the revision it was taken at, or null when the config had to be written first: list again.
    /// </summary>
    /// <exception cref="RegistryException">The registry failed.</exception>
    public async Task<long?> SyncAsync(CancellationToken stop)
    {
        var baseline = keeper.BeforeListing();
        long registrations = session.Registrations;
        // A listing of many pages has a deadline for each; all together may take one TTL.
        var listing = await runtime.BoundedAsync(health.LeaseTtl, stop, registry.ListAsync);
        Interlocked.Increment(ref _listings);
        health.NoteAnswer();
        if (keeper.ApplyListing(listing, baseline) is { } rewrite)
        {
            await WriteConfigAsync(rewrite, stop);
            return null;
        }

        session.Observe(listing.Entries.FirstOrDefault(entry => entry.Key == OwnKey), registrations, long.MaxValue);
        await RestoreCountersAsync(stop);
        return listing.Revision;
    }

    /// <summary>
    /// Writes a config if the key still is as it was listed; who loses sees the winner's in the next listing.
    /// </summary>
    public async Task WriteConfigAsync(ConfigRewrite rewrite, CancellationToken stop)
    {
        var write = await runtime.BoundedAsync(health.LeaseTtl / 3, stop, token => registry.WriteIfAsync(
            RegistryMirror.ConfigKey, rewrite.Config.ToJson(), 0, rewrite.ExpectedModRevision, token));
        health.NoteWrite();
        if (!write.Succeeded)
            return;
        keeper.NoteEpoch(rewrite.Config.Epoch);
        if (rewrite.Config.Epoch > 1)
            health.Log(LogLevel.Warning,
                $"the registry lost its past: mesh written back at epoch {rewrite.Config.Epoch}");
    }

    /// <summary>Runs until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        // A watch that outlives the outage still sleeps for a whole interval: what ends the window must wake it.
        health.WindowOpened = _wanted.Set;
        while (!stop.IsCancellationRequested)
        {
            long started = runtime.Time.GetTimestamp();
            var wait = TimeSpan.Zero;
            try
            {
                if (await SyncAsync(stop) is null || !await FollowAsync(keeper.WatchFrom, stop))
                    wait = _backoff.Next();
            }
            catch (Exception) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                // Whatever a broken connection throws, this loop must outlive it.
                health.NoteFailure(started, e as RegistryException ??
                    new RegistryException(RegistryFailure.Unavailable, e.Message, e));
                wait = _backoff.Next();
            }

            try
            {
                if (wait > TimeSpan.Zero)
                    await runtime.Delay(wait, stop);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>Watches until it is time to list again.</summary>
    /// <returns>Whether it ended by our wish; otherwise wait a little before the next listing.</returns>
    private async Task<bool> FollowAsync(long from, CancellationToken stop)
    {
        long generation = Interlocked.Increment(ref _generation);
        long started = runtime.Time.GetTimestamp();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var watch = registry.WatchAsync(from, events => OnEvents(events, generation), end.Token);
        var left = health.AddOnlyLeft;
        var limit = left > TimeSpan.Zero && left < options.RelistInterval ? left : options.RelistInterval;
        var wish = _wanted.WaitAsync(limit, end.Token);
        var first = await Task.WhenAny(watch, wish);
        bool ours = first == wish;
        // CancelAsync would pass through the thread pool.
        end.Cancel();
        Interlocked.Increment(ref _generation);
        try
        {
            await wish;
        }
        catch (OperationCanceledException)
        {
            // The loop looks at the token.
        }

        WatchEnd? ended = null;
        try
        {
            if (await watch.EndsWithinAsync(WatchStopLimit, runtime.Time, CancellationToken.None))
                ended = await watch;
        }
        catch (Exception e) when (ours && e is OperationCanceledException or RegistryException)
        {
            // We ended it ourselves: how it ends says nothing.
        }

        stop.ThrowIfCancellationRequested();
        if (runtime.Time.GetElapsedTime(started) >= SettledWatch)
            _backoff.Reset();
        if (ours)
            return true;
        Interlocked.Increment(ref _watchEnds);
        if (ended == WatchEnd.Compacted)
            keeper.NoteMissed();
        // The outage begins here: the listing that follows tells whether there is one.
        if (ended == WatchEnd.Broken)
            health.NoteFailure(runtime.Time.GetTimestamp(),
                new RegistryException(RegistryFailure.Unavailable, "the watch broke"));
        return false;
    }

    private void OnEvents(IReadOnlyList<RegistryEvent> events, long generation)
    {
        // A watch that was told to end may still deliver what it had read: the listing knows it already.
        if (generation != Interlocked.Read(ref _generation) || events.Count == 0)
            return;
        health.NoteAnswer();
        bool configChanged = keeper.ApplyEvents(events);
        foreach (var change in events)
        {
            if (change.Key == OwnKey)
                session.Observe(change.Entry, session.Registrations, change.Revision);
        }

        if (configChanged)
            _wanted.Set();
    }

    private async Task RestoreCountersAsync(CancellationToken stop)
    {
        foreach (var (key, value, modRevision) in keeper.LostCounters())
        {
            byte[] text = Encoding.UTF8.GetBytes(value.ToString(CultureInfo.InvariantCulture));
            await runtime.BoundedAsync(health.LeaseTtl / 3, stop,
                token => registry.WriteIfAsync(key, text, 0, modRevision, token));
        }
    }
}
