// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Net.Sockets;
using System.Net;
using System.Text.Json;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Native.Tests;

/// <summary>A real mesh, each part a process: etcd and nodes; and the C library, with programs that use both.</summary>
public sealed class NativeMesh : IAsyncLifetime
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private readonly string _folder = System.IO.Directory.CreateTempSubdirectory("mesh-native-nodes-").FullName;
    private readonly List<Process> _processes = [];

    public CLibrary Clib { get; } = new();

    /// <summary>host:port of etcd.</summary>
    public string Etcd { get; private set; } = "";

    /// <summary>host:port of the nodes that are meant to live.</summary>
    public List<string> Nodes { get; } = [];

    public async ValueTask InitializeAsync()
    {
        Etcd = $"127.0.0.1:{FreePort.Take()}";
        int peer = FreePort.Take();
        Start(EtcdProgram, "--name", "m", "--data-dir", Path.Combine(_folder, "etcd"), "--unsafe-no-fsync", "--logger",
            "zap", "--log-level", "error", "--listen-client-urls", $"http://{Etcd}", "--advertise-client-urls",
            $"http://{Etcd}", "--listen-peer-urls", $"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls",
            $"http://127.0.0.1:{peer}", "--initial-cluster", $"m=http://127.0.0.1:{peer}");
        using var limit = new CancellationTokenSource(StartLimit);
        while (!Answers(Etcd))
            await Task.Delay(20, limit.Token);
        for (int i = 0; i < 2; i++)
            Nodes.Add(await StartNodeAsync($"n{i}", "256MiB").ContinueWith(node => node.Result.Endpoint));
    }

    /// <summary>Starts one more node.</summary>
    public Task<NodeProcess> StartNodeAsync(string id, string memory) => StartNodeAsync(id, memory, []);

    /// <summary>Starts one more node, with environment variables and flags of its own.</summary>
    public async Task<NodeProcess> StartNodeAsync(string id, string memory, Dictionary<string, string> environment,
        params string[] flags)
    {
        var process = Start(NodeProgram, environment, ["serve", "--json", "--node-id", id, "--etcd-endpoints", Etcd,
            "--segments", memory + ",hugePages=false,preTouch=false", "--lease-ttl", "3s", "--runtime-directory",
            Path.Combine(_folder, id), .. flags]);
        using var limit = new CancellationTokenSource(StartLimit);
        string line = await process.StandardOutput.ReadLineAsync(limit.Token) ?? "";
        using var ready = JsonDocument.Parse(line);
        _ = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        return new NodeProcess(process, ready.RootElement.GetProperty("endpoint").GetString()!);
    }

    public ValueTask DisposeAsync()
    {
        foreach (var process in Enumerable.Reverse(_processes))
        {
            if (!process.HasExited)
                process.Kill();
            process.WaitForExit();
            process.Dispose();
        }

        System.IO.Directory.Delete(_folder, recursive: true);
        Clib.Dispose();
        return ValueTask.CompletedTask;
    }

    private static string EtcdProgram => Environment.GetEnvironmentVariable("MOONCAKE_MESH_TEST_ETCD") ?? "etcd";

    /// <summary>The executable of this build.</summary>
    private static string NodeProgram
    {
        get
        {
            for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "Mooncake.Mesh.sln")))
                    return Path.Combine(folder.FullName, "src/Node/bin/Release/net10.0/mooncake-mesh");
            }

            throw new InvalidOperationException("no Mooncake.Mesh.sln above the tests");
        }
    }

    private Process Start(string program, params string[] arguments) => Start(program, [], arguments);

    private Process Start(string program, Dictionary<string, string> environment, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        var process = Process.Start(start)!;
        _processes.Add(process);
        _ = process.StandardError.ReadToEndAsync();
        if (program != NodeProgram)
            _ = process.StandardOutput.ReadToEndAsync();
        return process;
    }

    private static bool Answers(string endpoint)
    {
        using var socket = new TcpClient();
        try
        {
            socket.Connect(IPEndPoint.Parse(endpoint));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

/// <summary>A node that a test may kill.</summary>
public sealed record NodeProcess(Process Process, string Endpoint)
{
    /// <summary>SIGKILL.</summary>
    public void Kill()
    {
        Process.Kill();
        Process.WaitForExit();
    }
}

[CollectionDefinition(nameof(NativeMesh))]
public sealed class NativeMeshCollection : ICollectionFixture<NativeMesh>;
