// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Cluster.Hostile;

/// <summary>
/// A serving node with a secret, a Unix socket and an admin port, and beside its tormentors a client that keeps to the
/// rules and whose every call must succeed.
/// </summary>
internal sealed class HostileNode : IAsyncDisposable
{
    private readonly string _directory;
    private readonly ServeMesh _mesh;
    private readonly CancellationTokenSource _stop = new();
    private Task<int> _client = Task.FromResult(0);

    private HostileNode(ServeMesh mesh, string directory, ServeProcess node)
    {
        _mesh = mesh;
        _directory = directory;
        Node = node;
    }

    public static ClusterSecret Secret { get; } =
        ClusterSecret.Parse(Encoding.UTF8.GetBytes("the secret of the hostile tests")).Value;

    public ServeProcess Node { get; }

    public string UnixEndpoint => "unix:" + Path.Combine(_directory, "node.sock");

    /// <summary>Memory of the process that is not shared: not that of segments, in bytes.</summary>
    public long AnonymousBytes
    {
        get
        {
            string line = File.ReadLines($"/proc/{Node.Pid}/status")
                .First(l => l.StartsWith("RssAnon:", StringComparison.Ordinal));
            return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
                CultureInfo.InvariantCulture) * 1024;
        }
    }

    public int Descriptors => System.IO.Directory.GetFiles($"/proc/{Node.Pid}/fd").Length;

    public static async Task<HostileNode> StartAsync()
    {
        var mesh = await ServeMesh.StartAsync(0, "128MiB");
        string directory = System.IO.Directory.CreateTempSubdirectory("mesh-hostile-").FullName;
        string secret = Path.Combine(directory, "secret");
        await File.WriteAllTextAsync(secret, "the secret of the hostile tests");
        if (OperatingSystem.IsLinux())
            File.SetUnixFileMode(secret, UnixFileMode.UserRead);
        var node = await mesh.AddAsync("n1", "--secret-file", secret, "--socket-path",
            Path.Combine(directory, "node.sock"), "--log-level", "warn");
        return new HostileNode(mesh, directory, node);
    }

    /// <summary>A client that keeps to the rules.</summary>
    public Task<MeshClient> ConnectAsync() => MeshClient.ConnectAsync(new MeshClientOptions
    {
        Cluster = ServeMesh.Cluster,
        Nodes = [Node.Endpoint],
        Secret = Secret,
        ConnectTimeout = TimeSpan.FromSeconds(20),
        Deadline = TimeSpan.FromSeconds(20),
    });

    /// <summary>Starts the client's loop.</summary>
    public void StartClient() => _client = Task.Run(CallAsync);

    /// <summary>Ends the loop and asserts that no call of it failed; how many calls there were.</summary>
    public async Task<int> ClientEndsWellAsync()
    {
        await _stop.CancelAsync();
        return await _client;
    }

    /// <summary>
    /// Asserts that the node serves, that no fault of its own was met, that every connection is gone again, and that
    /// its memory is what it was, but for <paramref name="growth"/> bytes.
    /// </summary>
    public async Task IsHealthyAsync(long before, int descriptorsBefore, long growth)
    {
        var status = await Node.StatusAsync();
        Assert.True(status.Ready, status.Reason);
        Assert.Equal(0, status.Counters["request_faults"]);
        await Eventually.AsyncTrue(async () => (await Node.StatusAsync()).Counters is var counters
            && counters["connections"] <= 2 && counters["data_connections"] == 0
            && counters["waiting_frame_bytes"] == 0, TimeSpan.FromSeconds(60), "connections stay open");
        await Eventually.True(() => Descriptors <= descriptorsBefore + 16, TimeSpan.FromSeconds(60),
            () => $"{Descriptors} descriptors are open, {descriptorsBefore} were");
        long after = AnonymousBytes;
        Figures.Print($"memory of the node: {before >> 20} MiB before, {after >> 20} MiB after");
        Assert.True(after - before <= growth, $"{(after - before) >> 20} MiB more than before");
        Assert.All(Node.Log, line => Assert.DoesNotContain("Unhandled", line, StringComparison.Ordinal));
        Assert.InRange(Node.Log.Length, 0, 1000);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAny(_client);
        await _mesh.DisposeAsync();
        System.IO.Directory.Delete(_directory, recursive: true);
    }

    private async Task<int> CallAsync()
    {
        await using var client = await ConnectAsync();
        var options = new PutOptions { Deadline = TimeSpan.FromSeconds(20) };
        var get = new GetOptions { Deadline = TimeSpan.FromSeconds(20) };
        int calls = 0;
        for (int i = 0; !_stop.IsCancellationRequested; i++)
        {
            // Small ones in their request, large ones over shared memory or the data lane.
            var key = new MeshKey($"good/{i}");
            byte[] value = new byte[i % 8 == 0 ? 200_000 : 1000];
            new Random(i).NextBytes(value);
            await client.PutAsync(key, value, options);
            Assert.Equal(value, await client.GetAsync(key, get));
            Assert.True(await client.ExistsAsync(key));
            Assert.True(await client.RemoveAsync(key));
            calls += 4;
            await Task.Delay(5);
        }

        return calls;
    }
}
