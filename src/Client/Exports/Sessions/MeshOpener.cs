// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using System.Text;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Cuda;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>Opens what the options ask for: a client, or a node in this process and a client of it.</summary>
internal sealed class MeshOpener(OpenOptions options)
{
    /// <summary>Ports that are tried where none is named, as Mooncake's users know them.</summary>
    private const int FirstPort = 12_300;
    private const int Ports = 2_001;

    /// <summary>Ports tried before giving up.</summary>
    private const int MostTries = 64;

    /// <summary>Bytes of a socket's path (sun_path of unix(7), less its end).</summary>
    private const int MostSocketPath = 107;

    private readonly RdmaOptions _rdma = new() { Devices = options.RdmaDevices };

    public async Task<MeshResult<LiveMesh>> OpenAsync(CancellationToken cancel)
    {
        ClusterSecret? secret = null;
        if (options.SecretFile is not null)
        {
            var read = ClusterSecret.FromFile(options.SecretFile);
            if (!read.Succeeded)
                return read.Error!;
            secret = read.Value;
        }

        var hostname = PeerEndpoint.Parse("hostname", options.Hostname);
        if (!hostname.Succeeded)
            return hostname.Error!;
        return options.SegmentSize > 0
            ? await EmbedAsync(hostname.Value, secret, cancel)
            : await ConnectAsync(hostname.Value, secret, cancel);
    }

    private MeshClientOptions ClientOptions(ClusterSecret? secret) => new()
    {
        Cluster = options.Cluster,
        Nodes = options.Nodes,
        Etcd = options.Nodes.Count == 0 ? options.EtcdEndpoints : null,
        EtcdAccess = EtcdAccess(options.EtcdEndpoints),
        Secret = secret,
        Rails = options.Rails,
        Transport = options.Transport,
        Rdma = _rdma,
        ConnectTimeout = options.ConnectLimit,
        Deadline = options.Deadline,
        SameHost = options.SameHost,
        Devices = HostCuda.OfProcess,
    };

    private async Task<MeshResult<LiveMesh>> ConnectAsync(PeerEndpoint hostname, ClusterSecret? secret,
        CancellationToken cancel)
    {
        var client = await MeshClient.TryConnectAsync(ClientOptions(secret), cancel);
        if (!client.Succeeded)
            return client.Error!;
        // A client listens nowhere; its name is a name.
        if (hostname.Port == 0)
            hostname = hostname.WithPort(FreePort());
        return Live(client.Value, hostname, null, null);
    }

    private async Task<MeshResult<LiveMesh>> EmbedAsync(PeerEndpoint hostname, ClusterSecret? secret,
        CancellationToken cancel)
    {
        var runtime = new MeshRuntime
        {
            Network = new SocketNetwork(),
            Devices = HostCuda.OfProcess,
            Verbs = parts => RdmaTransport.OpenAsync(_rdma, parts),
        };
        var made = await RegistryAsync(runtime, secret, cancel);
        if (!made.Succeeded)
            return made.Error!;
        (IMeshRegistry registry, string endpoints) = made.Value;
        MeshError? last = null;
        int first = Random(Ports);
        for (int i = 0; i < MostTries; i++)
        {
            var named = hostname.Port == 0 ? hostname.WithPort(FirstPort + ((first + i) % Ports)) : hostname;
            var node = await MeshNode.StartAsync(NodeOptions(named, secret, endpoints), registry, runtime, cancel);
            if (node.Succeeded)
                return Live(MeshClient.For(node.Value, options.Deadline), named, node.Value, registry);
            last = node.Error!;
            if (hostname.Port != 0 || options.Listen is not null || last.Stage != "config:listen"
                || last.Code != MeshErrorCode.System)
                break;
        }

        await registry.DisposeAsync();
        return last!;
    }

    private MeshNodeOptions NodeOptions(PeerEndpoint named, ClusterSecret? secret, string endpoints) => new()
    {
        Cluster = options.Cluster,
        NodeId = NodeIdOf(named),
        Listen = options.Listen ?? named.ToString(),
        SocketPath = options.SameHost ? SocketPathOf(NodeIdOf(named)) : null,
        Rails = options.Rails,
        Transport = options.Transport,
        Registry = endpoints,
        Secret = secret,
        Insecure = options.Insecure,
        LeaseTtl = options.LeaseTtl,
        Labels = new Dictionary<string, string> { [HostnameLabel] = named.ToString() },
        Segments = [new SegmentOptions { Length = options.SegmentSize }],
    };

    /// <summary>Label by which a node's Mooncake name is found.</summary>
    public const string HostnameLabel = "hostname";

    private LiveMesh Live(MeshClient client, PeerEndpoint hostname, MeshNode? node, IMeshRegistry? registry) => new()
    {
        Client = client,
        Node = node,
        Registry = registry,
        Hostname = hostname.ToString(),
        SliceMilliseconds = options.SliceMilliseconds,
        Gets = new GetOptions { Deadline = options.GetLimit, Verify = options.Verify },
        PutLimit = options.PutLimit,
        HasLocalBuffer = options.HasLocalBuffer,
    };

    /// <summary>The registry to join, and what others are told of it: named, or learnt from a node.</summary>
    private async Task<MeshResult<(IMeshRegistry Registry, string Endpoints)>> RegistryAsync(MeshRuntime runtime,
        ClusterSecret? secret, CancellationToken cancel)
    {
        if (options.Registry == "embedded")
            return (new EmbeddedRegistry(new EmbeddedRegistryStore(runtime.Time, runtime.Random), runtime), "");
        string endpoints = options.EtcdEndpoints;
        if (endpoints.Length == 0)
        {
            var asked = await AskAsync(secret, cancel);
            if (!asked.Succeeded)
                return asked.Error!;
            endpoints = asked.Value;
        }

        var registry = EtcdRegistry.Create(EtcdAccess(endpoints), runtime);
        return registry.Succeeded ? (registry.Value, endpoints) : registry.Error!;
    }

    private EtcdRegistryOptions EtcdAccess(string endpoints) => new()
    {
        Endpoints = endpoints,
        Cluster = options.Cluster,
        User = options.EtcdUser,
        PasswordFile = options.EtcdPasswordFile,
        CaFile = options.EtcdCa,
        CertificateFile = options.EtcdCert,
        KeyFile = options.EtcdKey,
    };

    private async Task<MeshResult<string>> AskAsync(ClusterSecret? secret, CancellationToken cancel)
    {
        var client = await MeshClient.TryConnectAsync(ClientOptions(secret), cancel);
        if (!client.Succeeded)
            return client.Error!;
        await using var asker = client.Value;
        foreach ((_, MeshResult<NodeStatus> status) in await asker.TryStatusOfAllAsync(cancel))
        {
            if (status is { Succeeded: true, Value.Registry.Length: > 0 })
                return status.Value.Registry;
        }

        return new MeshError(MeshErrorCode.Registry, "config:etcd",
            "this process is to contribute memory, and no node says which etcd the mesh has: name it (etcd_endpoints, "
            + "or etcd://HOST:PORT as metadata server)");
    }

    private string NodeIdOf(PeerEndpoint named) =>
        options.NodeId ?? $"{Legal(Environment.MachineName)}.{Environment.ProcessId}.{named.Port}";

    /// <summary>Where processes of this host find the node's memory; null: there is no place for it.</summary>
    private string? SocketPathOf(string nodeId)
    {
        string folder = Path.Combine(Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") ?? Path.GetTempPath(),
            $"mooncake-mesh-{Environment.UserName}");
        string path = Path.Combine(folder, $"{options.Cluster}.{nodeId}.sock");
        if (Encoding.UTF8.GetByteCount(path) > MostSocketPath || !OperatingSystem.IsLinux())
            return null;
        try
        {
            System.IO.Directory.CreateDirectory(folder,
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static int FreePort()
    {
        int first = Random(Ports);
        for (int i = 0; i < MostTries; i++)
        {
            int port = FirstPort + ((first + i) % Ports);
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return port;
            }
            catch (SocketException)
            {
                // Taken: the next one.
                continue;
            }
        }

        return FirstPort + first;
    }

    private static int Random(int bound) => RandomSource.System.Next(bound);

    private static string Legal(string name) =>
        new([.. name.Take(64).Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' ? c : '-')]);
}
