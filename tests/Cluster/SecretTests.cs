// SPDX-License-Identifier: Apache-2.0

using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mooncake.Mesh.Cluster;

/// <summary>The cluster secret, with real processes: from its file to the last log line.</summary>
[Trait("needs", "etcd")]
[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class SecretTests : IDisposable
{
    private const int Refused = 1;
    private const int Usage = 2;
    private const string Old = "the-secret-of-last-year-4711";
    private const string New = "the-secret-of-this-year-0815";
    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-secret-").FullName;

    public void Dispose() => System.IO.Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Clients_with_the_file_get_through_others_are_told_why_and_nothing_shows_the_secret()
    {
        await using var mesh = await ServeMesh.StartAsync(0);
        string good = FileOf(New), wrong = FileOf(Old);
        var node = await mesh.AddAsync("n1", "--secret-file", good, "--log-level", "trace");
        var peer = await mesh.AddAsync("n2", "--secret-file", good, "--log-level", "trace");
        using var wire = new RecordingProxy(node.Endpoint);
        string value = Path.Combine(_directory, "value");
        await File.WriteAllBytesAsync(value, new byte[100_000], TestContext.Current.CancellationToken);
        string[] mesh1 = ["--cluster", ServeMesh.Cluster, "--node", wire.Endpoint, "--deadline", "10s"];

        var results = new List<CommandResult>
        {
            await MeshCommandLine.RunAsync(["put", "k", value, "--secret-file", good, .. mesh1]),
            await MeshCommandLine.RunAsync(["status", "--json", "--secret-file", good, .. mesh1]),
        };
        Assert.All(results, result => Assert.True(result.ExitCode == 0, result.Error));
        Assert.Contains("\"authentication\":\"secret\"", results[1].Output, StringComparison.Ordinal);
        results.Add(await MeshCommandLine.RunAsync(["get", "k", "--secret-file", wrong, .. mesh1]));
        results.Add(await MeshCommandLine.RunAsync(["get", "k", .. mesh1]));
        string[] byEtcd = ["--cluster", ServeMesh.Cluster, "--etcd", mesh.Etcd.Endpoint, "--deadline", "2s"];
        results.Add(await MeshCommandLine.RunAsync(["get", "k", "--secret-file", wrong, .. byEtcd]));
        results.Add(await MeshCommandLine.RunAsync(["put", "j", value, .. byEtcd]));
        foreach (var result in results.TakeLast(4))
        {
            Assert.Equal(Refused, result.ExitCode);
            Assert.Contains("cluster secret", result.Error, StringComparison.Ordinal);
        }

        Assert.InRange((await node.StatusAsync()).Counters["unauthenticated_connections"], 2, 100);
        Assert.DoesNotContain(New, await File.ReadAllTextAsync($"/proc/{node.Pid}/cmdline",
            TestContext.Current.CancellationToken), StringComparison.Ordinal);
        string said = string.Join('\n', results.Select(r => r.Output + r.Error)) + string.Join('\n',
            new[] { node, peer }.SelectMany(n => n.Log.Concat(n.Output)))
            + Encoding.UTF8.GetString((await node.StatusAsync()).ToJson());
        AssertSilent(said, [Encoding.UTF8.GetBytes(New), Encoding.UTF8.GetBytes(Old), .. wire.Proofs]);
        Assert.True(wire.Proofs.Count >= 5, "no proof went over the wire");
        Assert.DoesNotContain(New, wire.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_is_replaced_node_by_node_and_the_old_one_ends()
    {
        await using var mesh = await ServeMesh.StartAsync(0);
        string old = FileOf(Old), both = FileOf(New + "\n" + Old), now = FileOf(New);
        string[] Mesh(ServeProcess node) => ["--cluster", ServeMesh.Cluster, "--node", node.Endpoint, "--deadline",
            "10s"];

        await mesh.AddAsync("n1", "--secret-file", old, "--grace", "0s");
        await mesh.AddAsync("n2", "--secret-file", old, "--grace", "0s");
        foreach (string step in new[] { both, now })
        {
            foreach (string id in new[] { "n1", "n2" })
            {
                var ended = mesh.Node(id);
                ended.Terminate();
                Assert.Equal(0, await ended.ExitAsync(TimeSpan.FromSeconds(20)));
                mesh.Remove(ended);
                await mesh.AddAsync(id, "--secret-file", step, "--grace", "0s");
                await mesh.SettlesAsync(TimeSpan.FromSeconds(30));
                foreach (string file in step == both ? new[] { old, both, now } : [both, now])
                {
                    var status = await MeshCommandLine.RunAsync(
                        ["status", "--secret-file", file, .. Mesh(mesh.Node(id))]);
                    Assert.True(status.ExitCode == 0, status.Error);
                }
            }
        }

        var refused = await MeshCommandLine.RunAsync(["status", "--secret-file", old, .. Mesh(mesh.Nodes[0])]);
        Assert.Equal(Refused, refused.ExitCode);
    }

    [Fact]
    public async Task With_a_secret_any_address_may_be_listened_on()
    {
        await using var mesh = await ServeMesh.StartAsync(0);
        var node = await mesh.AddAsync("n1", "--secret-file", FileOf(New), "--listen", "0.0.0.0:0", "--advertise",
            "127.0.0.1");
        Assert.StartsWith("127.0.0.1:", node.Endpoint, StringComparison.Ordinal);
        var refused = await MeshCommandLine.RunAsync(["serve", .. mesh.Arguments("n2", "--listen", "0.0.0.0:0")]);
        Assert.Equal(Usage, refused.ExitCode);
        Assert.Contains("secretFile", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_anybody_reads_is_refused_with_the_command_that_helps()
    {
        string file = FileOf(New);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.OtherRead);
        foreach (string command in new[] { "serve", "dev", "status" })
        {
            var refused = await MeshCommandLine.RunAsync([command, "--secret-file", file, .. command == "status"
                ? (string[])["--node", "127.0.0.1:1"] : []]);
            Assert.Equal(Usage, refused.ExitCode);
            Assert.Contains($"chmod 640 '{file}'", refused.Error, StringComparison.Ordinal);
        }
    }

    private string FileOf(string text)
    {
        string file = Path.Combine(_directory, $"secret-{System.IO.Directory.GetFiles(_directory).Length}");
        File.WriteAllText(file, text + "\n");
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return file;
    }

    private static void AssertSilent(string said, IEnumerable<byte[]> hidden)
    {
        foreach (byte[] bytes in hidden)
        {
            string[] forms = [Encoding.Latin1.GetString(bytes), Encoding.UTF8.GetString(bytes),
                Convert.ToHexString(bytes), Convert.ToHexStringLower(bytes), Convert.ToBase64String(bytes).TrimEnd('='),
                BitConverter.ToString(bytes)];
            foreach (string form in forms)
                Assert.DoesNotContain(form, said, StringComparison.Ordinal);
        }
    }

    /// <summary>A wire to a node with somebody on it, who keeps every proof.</summary>
    private sealed class RecordingProxy : IDisposable
    {
        private const byte Proof = 4;
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly ConcurrentBag<byte[]> _proofs = [];
        private readonly StringBuilder _text = new();
        private readonly IPEndPoint _target;

        public RecordingProxy(string target)
        {
            _target = IPEndPoint.Parse(target);
            _listener.Start();
            _ = AcceptAsync();
        }

        public string Endpoint => _listener.LocalEndpoint.ToString()!;

        /// <summary>Every proof that went by, each of 32 bytes.</summary>
        public IReadOnlyCollection<byte[]> Proofs => _proofs;

        /// <summary>Everything that went by.</summary>
        public string Text
        {
            get
            {
                lock (_text)
                    return _text.ToString();
            }
        }

        public void Dispose() => _listener.Dispose();

        private async Task AcceptAsync()
        {
            while (true)
            {
                var near = await _listener.AcceptTcpClientAsync();
                var far = new TcpClient();
                await far.ConnectAsync(_target);
                _ = CopyAsync(near, far);
                _ = CopyAsync(far, near);
            }
        }

        private async Task CopyAsync(TcpClient from, TcpClient to)
        {
            byte[] buffer = new byte[256 * 1024];
            try
            {
                int got;
                while ((got = await from.GetStream().ReadAsync(buffer)) > 0)
                {
                    Keep(buffer.AsSpan(0, got));
                    await to.GetStream().WriteAsync(buffer.AsMemory(0, got));
                }
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
            {
                // One side has closed; so is the other below.
            }

            from.Dispose();
            to.Dispose();
        }

        /// <summary>Proofs travel as whole frames [4, 0, [[bytes of 32, ...]]], one frame a write.</summary>
        private void Keep(ReadOnlySpan<byte> bytes)
        {
            lock (_text)
                _text.Append(Encoding.Latin1.GetString(bytes));
            if (bytes.Length < 43 || bytes[4] != 0x93 || bytes[5] != Proof)
                return;
            for (int i = 9; i + 34 <= bytes.Length && bytes[i] == 0xc4 && bytes[i + 1] == 32; i += 34)
                _proofs.Add(bytes.Slice(i + 2, 32).ToArray());
        }
    }
}
