// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Cluster;

[Trait("needs", "etcd")]
public sealed class EtcdMembershipTests
{
    private static readonly TimeSpan Ttl = EtcdMembers.Ttl;

    [Fact]
    public async Task Registrations_are_readable_and_live_on_leases()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var members = await EtcdMembers.StartedAsync(etcd, 2);
        string text = await etcd.CtlAsync("get", "--prefix", "/mooncake-mesh/t/");
        Assert.Contains("/mooncake-mesh/t/nodes/n1", text, StringComparison.Ordinal);
        Assert.Contains("\"nodeId\":\"n2\"", text, StringComparison.Ordinal);
        string keys = await etcd.CtlAsync("lease", "timetolive", "--keys", $"{members.Nodes[0].Status.Lease:x}");
        Assert.Contains("/mooncake-mesh/t/nodes/n1", keys, StringComparison.Ordinal);

        var refused = await members.StartAsync("n1");
        Assert.Equal(MeshErrorCode.NodeIdInUse, refused.Error!.Code);

        await members.Nodes[1].StopAsync(CancellationToken.None);
        members.Nodes.RemoveAt(1);
        // Under load a late answer of etcd may have opened an add-only window, in which nobody is forgotten.
        await members.SettlesAsync(1, Ttl * 3);
    }

    [Fact]
    public async Task A_killed_node_goes_after_its_lease_and_a_restart_with_its_kept_lease_does_not_wait()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var members = await EtcdMembers.StartedAsync(etcd, 2);
        var directory = System.IO.Directory.CreateTempSubdirectory("mesh-run-");
        try
        {
            Assert.Null((await members.StartAsync("n3", runtimeDirectory: directory.FullName)).Error);
            var twin = await members.StartAsync("n3", runtimeDirectory: directory.FullName);
            Assert.Equal(MeshErrorCode.NodeIdInUse, twin.Error!.Code);
            await members.SettlesAsync(3, Ttl);
            members.Nodes[2].Abort();
            members.Nodes.RemoveAt(2);
            long start = TimeProvider.System.GetTimestamp();
            Assert.Null((await members.StartAsync("n3", runtimeDirectory: directory.FullName)).Error);
            Assert.InRange(TimeProvider.System.GetElapsedTime(start), TimeSpan.Zero, Ttl / 2);
            await members.SettlesAsync(3, Ttl);
            members.Nodes[2].Abort();
            members.Nodes.RemoveAt(2);
            await members.SettlesAsync(2, Ttl * 3);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Etcd_restarted_at_once(bool kill)
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var members = await EtcdMembers.StartedAsync(etcd, 3);
        await (kill ? etcd.KillAsync() : etcd.StopAsync());
        await etcd.RestartAsync(wipe: false);
        await members.SettlesAsync(3, Ttl * 2);
    }

    [Fact]
    public async Task Etcd_suspended_for_three_ttls()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var members = await EtcdMembers.StartedAsync(etcd, 3);
        var views = new List<MeshView>();
        members.Nodes[0].OnViewChanged((_, next) => views.Add(next));
        etcd.Suspend();
        await Task.Delay(Ttl * 3);
        Assert.All(members.Nodes, n => Assert.True(n.Status.Degraded));
        etcd.Resume();
        await members.SettlesAsync(3, Ttl * 2);
        Assert.All(views, v => Assert.Equal(3, v.Members.Count));
        await Eventually.True(() => members.Nodes.All(n => !n.Status.AddOnly), Ttl * 3, () => "the window stays open");
        await members.SettlesAsync(3, Ttl);
    }

    [Fact]
    public async Task Etcd_wiped()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var members = await EtcdMembers.StartedAsync(etcd, 3);
        ulong mesh = members.Nodes[0].View.Config.MeshId;
        await etcd.RestartAsync(wipe: true);
        await members.SettlesAsync(3, Ttl * 2);
        await Eventually.True(
            () => members.Nodes.All(n => n.View.Id.Epoch == 2), Ttl * 2, () => "the epoch did not rise");
        await members.SettlesAsync(3, Ttl);
        Assert.All(members.Nodes, n => Assert.Equal(mesh, n.View.Config.MeshId));
        string text = await etcd.CtlAsync("get", "--prefix", "/mooncake-mesh/t/");
        Assert.Contains($"\"meshId\":{mesh}", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Etcd_compacted_and_written_by_hand()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var members = await EtcdMembers.StartedAsync(etcd, 2);
        await etcd.CtlAsync("del", "/mooncake-mesh/t/nodes/n1");
        await etcd.CompactAsync();
        await members.SettlesAsync(2, Ttl * 2);
        await using var registry = EtcdRegistry.Create(
            new EtcdRegistryOptions { Endpoints = etcd.Endpoint, Cluster = "t" }, EtcdMembers.Runtime).Value;
        var end = await registry.WatchAsync(1, _ => { }, CancellationToken.None);
        Assert.Equal(WatchEnd.Compacted, end);
    }

    [Fact]
    public async Task The_registry_lists_many_pages_and_watches_from_there()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await using var registry = EtcdRegistry.Create(
            new EtcdRegistryOptions { Endpoints = etcd.Endpoint, Cluster = "t",
                CallDeadline = TimeSpan.FromSeconds(5) },
            EtcdMembers.Runtime).Value;
        byte[] value = new byte[10_000];
        for (int i = 0; i < 600; i++)
            Assert.True((await registry.WriteIfAsync($"nodes/k{i:d4}", value, 0, 0, default)).Succeeded);
        var listing = await registry.ListAsync(default);
        Assert.Equal(600, listing.Entries.Count);
        Assert.Equal("nodes/k0599", listing.Entries[^1].Key);
        var guarded = await registry.WriteIfAsync("nodes/k0000", value, 0, 0, default);
        Assert.False(guarded.Succeeded);
        Assert.Equal(listing.Entries[0].ModRevision, guarded.Current!.ModRevision);
        var seen = new TaskCompletionSource<RegistryEvent>();
        using var stop = new CancellationTokenSource();
        var watch = registry.WatchAsync(listing.Revision + 1, events => seen.TrySetResult(events[0]), stop.Token);
        await registry.WriteIfAsync("nodes/new", value, 0, 0, default);
        Assert.Equal("nodes/new", (await seen.Task.WaitAsync(TimeSpan.FromSeconds(5))).Key);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watch);
        Assert.Null(await registry.KeepAliveAsync(4711, default));
        await registry.RevokeLeaseAsync(4711, default);
        var gone = await Assert.ThrowsAsync<RegistryException>(
            () => registry.WriteIfAsync("x", value, 4711, 0, default));
        Assert.Equal(RegistryFailure.LeaseNotFound, gone.Failure);
    }
}
