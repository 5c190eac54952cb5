// SPDX-License-Identifier: Apache-2.0

using System.Net.Sockets;
using System.Net;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Cluster;

/// <summary>
/// What is refused: one clear line that names the setting, the right exit code, never a stack trace, nothing left.
/// </summary>
[Trait("needs", "etcd")]
public sealed class RefusalTests
{
    private const int Refused = 1;
    private const int Usage = 2;
    private const int NotFound = 3;

    [Fact]
    public async Task A_wrong_setting_is_named()
    {
        string file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, """{ "nodeId": "a", "segmentz": [] }""",
                TestContext.Current.CancellationToken);
            IsRefused(await ServeAsync("--config", file), Usage, "segmentz", file);
        }
        finally
        {
            File.Delete(file);
        }

        IsRefused(await ServeAsync("--nonsense", "1"), Usage, "--nonsense");
        IsRefused(await ServeAsync("--lease-ttl", "soon"), Usage, "--lease-ttl");
        IsRefused(await ServeAsync(), Usage, "etcd.endpoints");
        IsRefused(await ServeAsync("--etcd-endpoints", "127.0.0.1:1", "--segments", "100TiB"), Usage, "segments");
        IsRefused(await ServeAsync("--etcd-endpoints", "127.0.0.1:1", "--listen", "0.0.0.0:0"), Usage, "listen",
            "insecure");
    }

    [Fact]
    public async Task A_port_in_use_an_etcd_out_of_reach_and_a_living_node_id()
    {
        await using var mesh = await ServeMesh.StartAsync(1);
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        string port = $"127.0.0.1:{((IPEndPoint)taken.LocalEndpoint).Port}";
        string[] etcd = ["--cluster", ServeMesh.Cluster, "--etcd-endpoints", mesh.Etcd.Endpoint, "--segments", "1MiB"];
        IsRefused(await ServeAsync([.. etcd, "--node-id", "a", "--listen", port]), Refused, "listen", port);
        IsRefused(await ServeAsync([.. etcd, "--node-id", "a", "--admin", port]), Refused, "admin", port);
        IsRefused(await ServeAsync([.. etcd, "--node-id", "n1"]), Refused, "node id 'n1' is in use");
        int free = FreePort.Take();
        IsRefused(await ServeAsync("--node-id", "a", "--segments", "1MiB", "--etcd-endpoints", "127.0.0.1:1",
            "--listen", $"127.0.0.1:{free}"), Refused, "etcd.endpoints", "127.0.0.1:1");
        using var again = new TcpListener(IPAddress.Loopback, free);
        again.Start();
        Assert.Equal(["n1"], (await mesh.RegistrationsAsync()).Keys);
        await mesh.SettlesAsync(ServeMesh.Ttl);
    }

    [Fact]
    public async Task A_key_or_a_value_too_large_and_a_key_that_is_not_there()
    {
        await using var mesh = await ServeMesh.StartAsync(1, "8MiB");
        string[] node = ["--cluster", ServeMesh.Cluster, "--node", mesh.Nodes[0].Endpoint, "--deadline", "10s"];
        string file = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(file, new byte[9 << 20], TestContext.Current.CancellationToken);
            IsRefused(await MeshCommandLine.RunAsync(["put", "large", file, .. node]), Refused, "size", "9437184");
            string key = new('k', 65_537);
            IsRefused(await MeshCommandLine.RunAsync(["put", key, "/dev/null", .. node]), Refused, "key", "65536");
            IsRefused(await MeshCommandLine.RunAsync(["get", key, .. node]), Refused, "key", "65536");
            IsRefused(await MeshCommandLine.RunAsync(["put", "", "/dev/null", .. node]), Refused, "key");
            IsRefused(await MeshCommandLine.RunAsync(["put", "k", file + ".none", .. node]), Refused, file + ".none");
        }
        finally
        {
            File.Delete(file);
        }

        IsRefused(await MeshCommandLine.RunAsync(["get", "absent", .. node]), NotFound, "get");
        Assert.Equal(NotFound, (await MeshCommandLine.RunAsync(["exists", "absent", .. node])).ExitCode);
        Assert.Equal(NotFound, (await MeshCommandLine.RunAsync(["rm", "absent", .. node])).ExitCode);
        IsRefused(await MeshCommandLine.RunAsync("get", "k"), Usage, "--node", "--etcd");
        var status = await mesh.Nodes[0].StatusAsync();
        Assert.Equal(0, status.Memory.Objects);
        Assert.Equal(status.Memory.Capacity, status.Memory.Free);
    }

    [Fact]
    public async Task No_node_at_the_address()
    {
        string nobody = $"127.0.0.1:{FreePort.Take()}";
        IsRefused(await MeshCommandLine.RunAsync("get", "k", "--node", nobody), Refused, nobody);
        IsRefused(await MeshCommandLine.RunAsync("get", "k", "--etcd", nobody), Refused, nobody);
        await using var mesh = await ServeMesh.StartAsync(1);
        IsRefused(await MeshCommandLine.RunAsync("get", "k", "--cluster", "other", "--node", mesh.Nodes[0].Endpoint),
            Refused, "other");
    }

    private static Task<CommandResult> ServeAsync(params string[] arguments) =>
        MeshCommandLine.RunAsync(["serve", .. arguments]);

    /// <summary>The code, one complaint on standard error with every text, nothing on standard output.</summary>
    private static void IsRefused(CommandResult result, int code, params string[] texts)
    {
        Assert.True(result.ExitCode == code, $"exit code {result.ExitCode}, expected {code}: {result.Error}");
        string[] complaints = [.. result.ErrorLines.Where(l => l.StartsWith("mooncake-mesh: ",
            StringComparison.Ordinal))];
        string complaint = Assert.Single(complaints);
        Assert.Equal(complaint, result.ErrorLines[^1]);
        Assert.All(texts, text => Assert.Contains(text, complaint, StringComparison.Ordinal));
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", result.Error, StringComparison.Ordinal);
        Assert.Empty(result.Output);
    }
}
