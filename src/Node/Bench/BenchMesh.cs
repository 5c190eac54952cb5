// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// A mesh for a measurement: every node a process of its own ("serve"), on an etcd that is started for it or was named.
/// All of it ends at dispose.
/// </summary>
internal sealed class BenchMesh : IAsyncDisposable
{
    private static readonly TimeSpan EtcdLimit = TimeSpan.FromSeconds(30);
    private readonly SortedDictionary<int, PeerProcess> _nodes = [];
    private readonly string _address;
    private readonly int _clientPort = FreePort();
    private readonly int _peerPort = FreePort();
    private PeerProcess? _etcd;
    private readonly string _folder = System.IO.Directory.CreateTempSubdirectory("mesh-bench-").FullName;

    private BenchMesh(string address) => _address = address;

    /// <summary>Name of the mesh.</summary>
    internal string Cluster { get; } = $"bench-{Environment.ProcessId}-{RandomSource.System.NextUInt64():x}";

    /// <summary>Endpoints of etcd.</summary>
    internal string Etcd { get; private set; } = "";

    /// <summary>host:port of each node, in the order of their numbers.</summary>
    internal List<string> Endpoints { get; } = [];

    /// <summary>Id of a node.</summary>
    internal static string NodeId(int number) => $"bench-{number}";

    /// <summary>Starts nodes of one segment each; <paramref name="flags"/> are further ones of "serve".</summary>
    /// <param name="etcd">Endpoints of etcd; null: one is started, from PATH or MOONCAKE_MESH_TEST_ETCD.</param>
    /// <exception cref="MeshException">There is no etcd, or a node did not start.</exception>
    internal static async Task<BenchMesh> StartAsync(string? etcd, int nodes, long segmentSize, params string[] flags)
    {
        var mesh = new BenchMesh("127.0.0.1");
        try
        {
            mesh.Etcd = etcd ?? await mesh.StartEtcdAsync();
            for (int i = 0; i < nodes; i++)
                await mesh.AddNodeAsync(i, segmentSize, flags);
            return mesh;
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    /// <summary>The same without nodes, on an etcd of its own that listens on an address of this host.</summary>
    /// <exception cref="MeshException">There is no etcd.</exception>
    internal static async Task<BenchMesh> StartOnAsync(string address)
    {
        var mesh = new BenchMesh(address);
        try
        {
            mesh.Etcd = await mesh.StartEtcdAsync();
            return mesh;
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    /// <summary>A client in this process.</summary>
    /// <param name="overTcp">Whether it takes no same-host shortcut: no Unix socket, no shared memory.</param>
    internal async Task<MeshClient> ConnectAsync(bool overTcp = false)
    {
        MeshResult<MeshClient> client = await MeshClient.TryConnectAsync(new MeshClientOptions
        {
            Cluster = Cluster,
            Nodes = Endpoints,
            SameHost = !overTcp,
        });
        return client.Value;
    }

    /// <summary>
    /// A client in this process that looks for the mesh in etcd until a node is there, for at most
    /// <paramref name="limit"/>.
    /// </summary>
    /// <exception cref="MeshException">None was there in time.</exception>
    internal async Task<MeshClient> FindAsync(TimeSpan limit)
    {
        MeshResult<MeshClient> client = await MeshClient.TryConnectAsync(
            new MeshClientOptions { Cluster = Cluster, Etcd = Etcd, ConnectTimeout = limit });
        return client.Value;
    }

    /// <summary>Starts one more node, and waits until it says that it serves.</summary>
    internal async Task AddNodeAsync(int number, long segmentSize, params string[] flags)
    {
        string[] arguments =
        [
            "serve", "--json", "--node-id", NodeId(number), "--cluster", Cluster, "--etcd-endpoints", Etcd,
            "--segments", $"{segmentSize}", "--runtime-directory", Path.Combine(_folder, NodeId(number)),
            "--log-level", "error", .. flags,
        ];
        var (peer, line) = await PeerProcess.StartAsync(arguments);
        _nodes.Add(number, peer);
        using JsonDocument ready = JsonDocument.Parse(line);
        string endpoint = ready.RootElement.GetProperty("endpoint").GetString()!;
        if (number < Endpoints.Count)
            Endpoints[number] = endpoint;
        else
            Endpoints.Add(endpoint);
    }

    /// <summary>SIGKILL to a node; it may be started again by <see cref="AddNodeAsync"/>.</summary>
    internal void KillNode(int number)
    {
        _nodes.Remove(number, out PeerProcess? node);
        node!.Kill();
        node.Dispose();
    }

    /// <summary>SIGKILL to the etcd that was started for this mesh.</summary>
    internal void KillEtcd()
    {
        _etcd!.Kill();
        _etcd.Dispose();
        _etcd = null;
    }

    /// <summary>Starts that etcd, with the data it had.</summary>
    internal Task RestartEtcdAsync() => StartEtcdAsync();

    public ValueTask DisposeAsync()
    {
        foreach (PeerProcess node in _nodes.Values.Reverse())
            node.Dispose();
        _nodes.Clear();
        _etcd?.Dispose();
        System.IO.Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    private async Task<string> StartEtcdAsync()
    {
        string program = EtcdProgram();
        string peerUrl = $"http://{_address}:{_peerPort}";
        string clientUrl = $"http://{_address}:{_clientPort}";
        _etcd = PeerProcess.StartSilent(program,
        [
            "--name", "bench", "--data-dir", Path.Combine(_folder, "etcd"), "--unsafe-no-fsync",
            "--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl,
            "--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl,
            "--initial-cluster", $"bench={peerUrl}",
        ]);
        long start = TimeProvider.System.GetTimestamp();
        while (!await AnswersAsync())
        {
            if (TimeProvider.System.GetElapsedTime(start) > EtcdLimit)
            {
                throw new MeshException(new MeshError(MeshErrorCode.DeadlineExceeded, "bench",
                    $"etcd did not open its port within {EtcdLimit.TotalSeconds:0} s"));
            }

            await Task.Delay(TimeSpan.FromMilliseconds(20));
        }

        return $"{_address}:{_clientPort}";
    }

    /// <summary>Path of etcd.</summary>
    /// <exception cref="MeshException">There is none.</exception>
    internal static string EtcdProgram() => FindEtcd() ?? throw new MeshException(new MeshError(MeshErrorCode.System,
        "bench", "no etcd in PATH: install etcd-server, or name a running one by --etcd ENDPOINTS"));

    private static string? FindEtcd()
    {
        string? named = Environment.GetEnvironmentVariable("MOONCAKE_MESH_TEST_ETCD");
        if (named is not null)
            return named;
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':'))
        {
            string path = Path.Combine(folder, "etcd");
            if (File.Exists(path))
                return path;
        }

        return null;
    }

    private async Task<bool> AnswersAsync()
    {
        using var socket = new TcpClient();
        try
        {
            await socket.ConnectAsync(IPAddress.Parse(_address), _clientPort);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
