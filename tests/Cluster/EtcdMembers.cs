// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Cluster;

/// <summary>Memberships of several nodes over one real etcd, with leases of 3 s.</summary>
internal sealed class EtcdMembers(EtcdRegistryOptions options) : IAsyncDisposable
{
    public static readonly TimeSpan Ttl = TimeSpan.FromSeconds(3);

    private readonly List<EtcdRegistry> _registries = [];

    public List<MembershipService> Nodes { get; } = [];

    public static MeshRuntime Runtime { get; } = new() { Network = new NoNetwork() };

    public static async Task<EtcdMembers> StartedAsync(EtcdProcess etcd, int nodes)
    {
        var members = new EtcdMembers(new EtcdRegistryOptions { Endpoints = etcd.Endpoint, Cluster = "t" });
        for (int i = 1; i <= nodes; i++)
            Assert.Null((await members.StartAsync($"n{i}")).Error);
        await members.SettlesAsync(nodes, Ttl * 2);
        return members;
    }

    public async Task<MeshResult<MeshView>> StartAsync(
        string id, ulong incarnation = 0, string? runtimeDirectory = null)
    {
        var registry = EtcdRegistry.Create(options, Runtime).Value;
        _registries.Add(registry);
        var service = new MembershipService(
            new MembershipOptions { LeaseTtl = Ttl, Slots = 256, RuntimeDirectory = runtimeDirectory },
                registry, Runtime);
        var result = await service.StartAsync(new NodeRecord
        {
            NodeId = id,
            Incarnation = incarnation == 0 ? Runtime.Random.NextUInt64() : incarnation,
            Endpoints = ["127.0.0.1:1"],
        }, CancellationToken.None);
        if (result.Succeeded)
            Nodes.Add(service);
        return result;
    }

    public Task SettlesAsync(int members, TimeSpan limit) => Eventually.True(() => Settled(members), limit,
        () => string.Join("\n", Nodes.Select(
            n => $"{n.Self.NodeId}: {n.Status} {string.Join(',', n.View.Members.Select(m => m.NodeId))}")));

    public async ValueTask DisposeAsync()
    {
        foreach (var node in Nodes)
            await node.DisposeAsync();
        foreach (var registry in _registries)
            await registry.DisposeAsync();
    }

    private bool Settled(int members) =>
        Nodes.All(n => n.Status is { Registered: true, Degraded: false } && n.View.Members.Count == members &&
            n.View.Find(n.Self.NodeId)?.Session == n.Status.Lease) &&
        Nodes.Select(n => (n.View.Id.Epoch, n.View.Id.Digest)).Distinct().Count() == 1;

    private sealed class NoNetwork : IPeerNetwork
    {
        public Task<IPeerConnection> ConnectAsync(string endpoint, CancellationToken cancel) =>
            throw new PeerNetworkException(endpoint);

        public IPeerListener Listen(string endpoint) => throw new PeerNetworkException(endpoint);
    }
}
