// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Cluster.Faults;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Cluster;

/// <summary>
/// A real mesh: etcd, several serve processes with leases of 3 s, and a client in this process. All of it is gone at
/// dispose.
/// </summary>
internal sealed class ServeMesh : IAsyncDisposable
{
    public const string Cluster = "t";
    public static readonly TimeSpan Ttl = TimeSpan.FromSeconds(3);
    public static readonly PutOptions Spread = new() { Placement = Placement.Spread };

    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-serve-").FullName;
    private readonly string _segments;
    private readonly TimeSpan _leaseTtl;
    private readonly List<ServeProcess> _ended = [];
    private readonly string[] _more;
    private static readonly Dictionary<string, string> None = [];
    private readonly FaultNetwork? _network;
    private MeshClient? _client;

    private ServeMesh(EtcdProcess etcd, string segments, TimeSpan leaseTtl, string[] more,
        FaultNetwork? network = null)
    {
        _network = network;
        _more = more;
        _leaseTtl = leaseTtl;
        Etcd = etcd;
        _segments = segments;
    }

    public EtcdProcess Etcd { get; }

    /// <summary>The nodes that run; one that was killed is taken out.</summary>
    public List<ServeProcess> Nodes { get; } = [];

    public MeshClient Client => _client!;

    /// <summary>Starts etcd and nodes n1, n2, ...; every node gets the flags <paramref name="more"/>.</summary>
    public static async Task<ServeMesh> StartAsync(int nodes, string segmentSize = "64MiB", TimeSpan? leaseTtl = null,
        params string[] more)
    {
        var mesh = new ServeMesh(
            await EtcdProcess.StartAsync(), $"{segmentSize},hugePages=false,preTouch=false",
            leaseTtl ?? Ttl, more);
        try
        {
            for (int i = 1; i <= nodes; i++)
                mesh.Nodes.Add(mesh.Launch($"n{i}", None));
            foreach (var node in mesh.Nodes)
                await node.ReadyAsync();
            if (nodes == 0)
                return mesh;
            await mesh.SettlesAsync(TimeSpan.FromSeconds(30));
            mesh._client = await mesh.ConnectAsync();
            return mesh;
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    /// <summary>
    /// The same with every process on a host of <paramref name="network"/>: "etcd" and those named like the nodes.
    /// </summary>
    public static async Task<ServeMesh> StartOnAsync(FaultNetwork network, int nodes, string segmentSize,
        params string[] more)
    {
        var mesh = new ServeMesh(await EtcdProcess.StartOnAsync(network.Host("etcd")),
            $"{segmentSize},hugePages=false,preTouch=false", Ttl, more, network);
        try
        {
            for (int i = 1; i <= nodes; i++)
                mesh.Nodes.Add(mesh.Launch($"n{i}", None));
            foreach (var node in mesh.Nodes)
                await node.ReadyAsync();
            mesh._client = await mesh.ConnectAsync();
            await mesh.SettlesAsync(TimeSpan.FromSeconds(60));
            return mesh;
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    /// <summary>Another client, which knows every node that runs now.</summary>
    public Task<MeshClient> ConnectAsync() => MeshClient.ConnectAsync(
        new MeshClientOptions { Cluster = Cluster, Nodes = [.. Nodes.Select(n => n.Endpoint)] });

    public ServeProcess Node(string nodeId) => Nodes.Single(n => n.NodeId == nodeId);

    public Task<ServeProcess> AddAsync(string nodeId, params string[] more) => AddAsync(nodeId, None, more);

    /// <summary>The same with further environment variables.</summary>
    public async Task<ServeProcess> AddAsync(string nodeId, IReadOnlyDictionary<string, string> environment,
        params string[] more)
    {
        var node = Launch(nodeId, environment, more);
        try
        {
            await node.ReadyAsync();
        }
        catch
        {
            await node.DisposeAsync();
            throw;
        }

        Nodes.Add(node);
        return node;
    }

    /// <summary>Starts a node with further environment variables, does not wait, and does not count it.</summary>
    public ServeProcess Launch(string nodeId, IReadOnlyDictionary<string, string> environment, params string[] more)
    {
        if (_network is null)
            return ServeProcess.LaunchOn(null, nodeId, null, environment, Arguments(nodeId, more));
        var host = _network.Host(nodeId);
        return ServeProcess.LaunchOn(host, nodeId, () => StatusOverClientAsync(nodeId), environment, Arguments(nodeId,
            ["--listen", $"{host.Address}:0", "--insecure", "true", .. more]));
    }

    private async Task<NodeStatus?> StatusOverClientAsync(string nodeId)
    {
        var status = await Client.TryStatusAsync(nodeId);
        return status.Succeeded ? NodeStatus.FromJson(status.Value) : null;
    }

    /// <summary>SIGKILL; the timestamp from just before it.</summary>
    public long Kill(ServeProcess node)
    {
        long at = TimeProvider.System.GetTimestamp();
        node.Kill();
        Nodes.Remove(node);
        _ended.Add(node);
        return at;
    }

    /// <summary>The node has ended by itself.</summary>
    public void Remove(ServeProcess node)
    {
        Nodes.Remove(node);
        _ended.Add(node);
    }

    /// <summary>
    /// Waits until every node is ready, registered and not degraded, has exactly the running nodes in its view, and
    /// the digests of all views are equal.
    /// </summary>
    public async Task<NodeStatus[]> SettlesAsync(TimeSpan limit)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var seen = await StatusesAsync();
            var states = seen.OfType<NodeStatus>().ToArray();
            if (states.Length == Nodes.Count && IsSettled(states) && ClientFollows(states[0]))
                return states;
            if (TimeProvider.System.GetElapsedTime(start) > limit)
            {
                var leases = (await RegistrationsAsync()).Select(r => $"{r.Key} on {r.Value:x}");
                Assert.Fail($"not settled: {Describe(seen)}\netcd has {string.Join(", ", leases)}\n" +
                    await DescribeAsync());
            }

            await Task.Delay(50);
        }
    }

    /// <summary>Whether our client has the members the nodes have; it asks one of them once a second.</summary>
    private bool ClientFollows(NodeStatus state) =>
        _client is null || _client.View.Split('.')[2] == state.View.Id.Split('.')[2];

    public Task<NodeStatus?[]> StatusesAsync() => Task.WhenAll(Nodes.Select(n => n.TryStatusAsync()));

    /// <summary>Ids of the keys that each running node holds.</summary>
    public async Task<Dictionary<MeshKey, string>> HoldersAsync(string prefix = "")
    {
        var holders = new Dictionary<MeshKey, string>();
        await foreach (var listed in Client.ListAsync(prefix))
        {
            if (listed.Succeeded)
                holders[listed.Value.Key] = listed.Value.Nodes[^1];
        }

        return holders;
    }

    /// <summary>The ring that the running nodes compute.</summary>
    public SlotTable Ring(int slots = 65_536) => SlotTable.Build(
        [.. Nodes.Select(n => n.NodeId).Order(StringComparer.Ordinal)
            .Select(id => new NodeRecord { NodeId = id, Incarnation = 1 })],
        slots);

    /// <summary>Node keys in etcd, each with the id of its lease.</summary>
    public async Task<Dictionary<string, long>> RegistrationsAsync()
    {
        using var json = JsonDocument.Parse(
            await Etcd.CtlAsync("get", "--prefix", $"/mooncake-mesh/{Cluster}/nodes/", "-w", "json"));
        var found = new Dictionary<string, long>();
        if (!json.RootElement.TryGetProperty("kvs", out var entries))
            return found;
        foreach (var entry in entries.EnumerateArray())
        {
            string key = System.Text.Encoding.UTF8.GetString(entry.GetProperty("key").GetBytesFromBase64());
            found[key[(key.LastIndexOf('/') + 1)..]] =
                entry.TryGetProperty("lease", out var lease) ? lease.GetInt64() : 0;
        }

        return found;
    }

    /// <summary>etcd's revision: it moves with every write.</summary>
    public async Task<long> RevisionAsync()
    {
        using var json = JsonDocument.Parse(await Etcd.CtlAsync("get", "x", "-w", "json"));
        return json.RootElement.GetProperty("header").GetProperty("revision").GetInt64();
    }

    /// <summary>Puts keys of a known content, spread over the nodes.</summary>
    public async Task<List<MeshKey>> FillAsync(string prefix, int count)
    {
        var keys = Enumerable.Range(0, count).Select(i => new MeshKey($"{prefix}-{i}")).ToList();
        foreach (var batch in keys.Chunk(250))
        {
            var puts = await Client.TryPutBatchAsync(
                batch, [.. batch.Select(k => (ReadOnlyMemory<byte>)Content.Of(k))], Spread);
            for (int i = 0; i < batch.Length; i++)
            {
                // The machine may be so busy that a put is late; what it wrote counts, and it may be said again.
                if (!puts[i].Succeeded)
                    await Client.PutAsync(batch[i], Content.Of(batch[i]), Spread);
            }
        }

        return keys;
    }

    /// <summary>For the message of a failure: counters of trouble, and the ends of the logs.</summary>
    public async Task<string> DescribeAsync()
    {
        var text = new System.Text.StringBuilder();
        foreach (var status in (await StatusesAsync()).OfType<NodeStatus>())
        {
            text.AppendLine($"{status.NodeId}: view {status.View.Id} {status.Slots} " + string.Join(' ',
                status.Counters.Where(c => c.Value != 0).Select(c => $"{c.Key}={c.Value}")));
        }

        foreach (var node in Nodes.Concat(_ended))
            text.AppendLine(node.NodeId).AppendJoin('\n', node.Log.TakeLast(40)).AppendLine();
        return text.ToString();
    }

    public async ValueTask DisposeAsync()
    {
        if (_client is not null)
            await _client.DisposeAsync();
        foreach (var node in Nodes.Concat(_ended))
            await node.DisposeAsync();
        await Etcd.DisposeAsync();
        System.IO.Directory.Delete(_directory, recursive: true);
    }

    public string[] Arguments(string nodeId, params string[] more) =>
    [
        "--cluster", Cluster, "--etcd-endpoints", Etcd.Endpoint, "--lease-ttl", $"{_leaseTtl.TotalSeconds}s",
        "--segments", _segments, "--runtime-directory", Path.Combine(_directory, nodeId), .. _more, .. more,
    ];

    private bool IsSettled(NodeStatus[] states) =>
        states.All(s => s is { Ready: true, Degraded: false } && s.View.Members.Count == Nodes.Count
            && s.View.Members.All(m => m.Reach is "fine" or "self"))
        && states.Select(s => DigestOf(s.View)).Distinct().Count() == 1
        && states[0].View.Members.Select(m => m.NodeId).SequenceEqual(
            Nodes.Select(n => n.NodeId).Order(StringComparer.Ordinal));

    private static string DigestOf(ViewStatus view) => view.Id[(view.Id.LastIndexOf('.') + 1)..];

    private string Describe(NodeStatus?[] seen) => string.Join("; ", seen.Select((s, i) => s is null
        ? $"{Nodes[i].NodeId}: no answer"
        : $"{s.NodeId}: ready={s.Ready} degraded={s.Degraded} ({s.Reason}) view={s.View.Id} members="
            + string.Join(',', s.View.Members.Select(m => $"{m.NodeId}:{m.Reach}"))));
}

/// <summary>The bytes of a key: from its hash, so that every read can be checked.</summary>
internal static class Content
{
    public static byte[] Of(in MeshKey key)
    {
        byte[] value = new byte[64 + (int)(key.Hash % 1000)];
        new Random((int)key.Hash).NextBytes(value);
        return value;
    }
}

/// <summary>Prints what was measured; every figure on a line of its own.</summary>
internal static class Figures
{
    public static void Print(string text) => Console.WriteLine($"figure: {text}");

    /// <summary>A count that a longer run may raise by an environment variable.</summary>
    public static int Count(string variable, int normal) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), out int count) ? count : normal;
}
