// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>
/// The first registration: lock and revoke what an earlier process left, config, lease, record, listing.
/// </summary>
internal sealed class MembershipStart(
    MembershipOptions options, IMeshRegistry registry, MeshRuntime runtime, RegistryHealth health, SessionLoop session,
    WatchLoop watch)
{
    private static readonly TimeSpan RivalPoll = TimeSpan.FromMilliseconds(500);

    private readonly RegistryBackoff _backoff = new(runtime.Random);
    private long _keptLease;
    private bool _waitsForRival;

    /// <summary>Tries until done, refused for good, <paramref name="limit"/> or <paramref name="cancel"/>.</summary>
    /// <returns>Null when registered and listed.</returns>
    public async Task<MeshError?> RunAsync(CancellationToken limit, CancellationToken cancel)
    {
        RegistryException? last = null;
        while (true)
        {
            var wait = _backoff.Next();
            long started = runtime.Time.GetTimestamp();
            try
            {
                var error = OpenKept() ?? await AttemptAsync(cancel);
                if (error is null)
                    return null;
                if (error.Code != MeshErrorCode.NodeIdInUse || !options.WaitForNodeId)
                    return error;
                // From now on the wait is the caller's wish, without a limit of ours.
                _waitsForRival = true;
                wait = RivalPoll;
            }
            catch (RegistryException e)
            {
                health.NoteFailure(started, e);
                if (e.Failure is RegistryFailure.Denied or RegistryFailure.Refused or RegistryFailure.NoSpace)
                    return new MeshError(MeshErrorCode.Registry, "membership", e.Message);
                last = e;
            }
            catch (OperationCanceledException) when (cancel.IsCancellationRequested)
            {
                return new MeshError(MeshErrorCode.Cancelled, "membership", "cancelled while registering");
            }

            if (limit.IsCancellationRequested && !_waitsForRival)
                return new MeshError(MeshErrorCode.Registry, "membership",
                    $"not registered within {options.RegistrationTimeout}: {last?.Message ?? "no answer"}");
            if (!cancel.IsCancellationRequested)
                await PauseAsync(wait, cancel);
        }
    }

    private async Task PauseAsync(TimeSpan wait, CancellationToken cancel)
    {
        try
        {
            await runtime.Delay(wait, cancel);
        }
        catch (OperationCanceledException)
        {
            // The next attempt sees it.
        }
    }

    private MeshError? OpenKept()
    {
        if (options.RuntimeDirectory is not { } directory || session.Kept is not null)
            return null;
        var opened = KeptLease.Open(directory, session.Self.NodeId);
        if (opened.Error is { } error)
            return error;
        session.Kept = opened.Value;
        _keptLease = opened.Value.Read();
        return null;
    }

    private async Task<MeshError?> AttemptAsync(CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        // The file is locked by us, so the process that had this lease is gone.
        if (_keptLease != 0 && await session.TryRevokeAsync(_keptLease, cancel))
            _keptLease = 0;
        await EnsureConfigAsync(cancel);
        if (!session.Registered && await session.RegisterAsync(cancel) is { } inUse)
            return inUse;
        for (int attempt = 0; attempt < 3; attempt++)
        {
            if (await watch.SyncAsync(cancel) is not null)
                return null;
        }

        throw new RegistryException(RegistryFailure.Unavailable, "the config changes with every listing");
    }

    /// <summary>A member that cannot talk to the others would stand in their way, not help them.</summary>
    private void RefuseOtherVersions(RegistryListing listing)
    {
        var self = session.Self;
        foreach (var entry in listing.Entries)
        {
            if (!entry.Key.StartsWith(RegistryMirror.NodePrefix, StringComparison.Ordinal)
                || NodeRecord.FromJson(entry.Value) is not { } member || member.NodeId == self.NodeId
                || (member.WireMin <= self.WireMax && member.WireMax >= self.WireMin))
                continue;
            throw new RegistryException(RegistryFailure.Refused, $"{member.NodeId} speaks wire versions "
                + $"{member.WireMin} to {member.WireMax}, we {self.WireMin} to {self.WireMax}: upgrade by one version "
                + "at a time");
        }
    }

    private async Task EnsureConfigAsync(CancellationToken cancel)
    {
        var listing = await runtime.BoundedAsync(health.LeaseTtl, cancel, registry.ListAsync);
        var found = listing.Entries.FirstOrDefault(entry => entry.Key == RegistryMirror.ConfigKey);
        if (found is not null)
        {
            // Somebody else's bytes or a newer build's mesh are not ours to replace.
            if (MeshConfig.FromJson(found.Value) is not { IsUsable: true })
                throw new RegistryException(
                    RegistryFailure.Refused, "the mesh's config is not one this build can follow");
            RefuseOtherVersions(listing);
            return;
        }

        var config = new MeshConfig { MeshId = runtime.Random.NextUInt64(), Slots = options.Slots };
        await watch.WriteConfigAsync(new ConfigRewrite(config, 0), cancel);
    }
}
