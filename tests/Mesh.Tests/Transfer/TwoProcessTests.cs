// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>A holder in one process, a client in another.</summary>
[Collection(nameof(AloneInProcess))]
public sealed class TwoProcessTests
{
    private const string DirectoryVariable = "MOONCAKE_MESH_TEST_HOLDER";

    /// <summary>Not a test: what the other process runs until its input ends.</summary>
    [Fact(Explicit = true)]
    public async Task Holder()
    {
        string? directory = Environment.GetEnvironmentVariable(DirectoryVariable);
        Assert.SkipWhen(directory is null, "started by the other test alone");
        var runtime = new MeshRuntime { Network = new SocketNetwork() };
        await using var node = await TransferWorld.StartNodeAsync(directory, runtime, 64 << 20);
        File.WriteAllText(Path.Combine(directory, "new"), node.Endpoint);
        File.Move(Path.Combine(directory, "new"), Path.Combine(directory, "endpoint"));
        await using var input = Console.OpenStandardInput();
        while (await input.ReadAsync(new byte[1]) > 0)
        {
        }
    }

    [Fact]
    public async Task A_get_on_one_host_moves_no_byte_over_tcp_and_a_dead_holder_is_unmapped()
    {
        string directory = System.IO.Directory.CreateTempSubdirectory("mesh-two-").FullName;
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            Environment = { [DirectoryVariable] = directory },
        };
        foreach (string argument in (string[])[typeof(TwoProcessTests).Assembly.Location, "-explicit", "only",
            "-method", $"{typeof(TwoProcessTests).FullName}.{nameof(Holder)}"])
            start.ArgumentList.Add(argument);
        using var holder = Process.Start(start)!;
        _ = holder.StandardOutput.ReadToEndAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        string endpoint = Path.Combine(directory, "endpoint");
        while (!File.Exists(endpoint))
        {
            Assert.False(holder.HasExited, "the holder's process has ended");
            await Task.Delay(20, limit.Token);
        }

        await using var client = new ClientPeer("default", [File.ReadAllText(endpoint)], null,
            new MeshRuntime { Network = new SocketNetwork() }, HostIdentity.BootId);
        Assert.Null(await client.ConnectAsync(TimeSpan.FromSeconds(30), limit.Token));
        byte[] value = new byte[5 << 20];
        new Random(1).NextBytes(value);
        var key = new MeshKey("a");
        var put = await client.Operations.PutAsync(key, value,
            new PutOptions { Deadline = TimeSpan.FromSeconds(60) }, limit.Token);
        Assert.True(put.Succeeded, put.Error?.ToString());

        // On a busy machine the memory may not have been opened in time for the first get.
        while (ReadOver(client, "shm") == 0)
            await GetAsync(client, key, value, limit.Token);
        long shm = ReadOver(client, "shm");
        long tcp = ReadOver(client, "tcp");
        await GetAsync(client, key, value, limit.Token);
        Assert.Equal(shm + value.Length, ReadOver(client, "shm"));
        Assert.Equal(tcp, ReadOver(client, "tcp"));
        Assert.True(IsMapped());

        holder.Kill();
        while (IsMapped())
            await Task.Delay(10, limit.Token);
        System.IO.Directory.Delete(directory, recursive: true);

        static async Task GetAsync(ClientPeer client, MeshKey key, byte[] value, CancellationToken cancel)
        {
            using var target = new ArrayTarget();
            var got = await client.Operations.GetAsync(key, target,
                new GetOptions { Deadline = TimeSpan.FromSeconds(60) }, cancel);
            Assert.True(got.Succeeded, got.Error?.ToString());
            Assert.Equal(value, target.Array);
        }

        static long ReadOver(ClientPeer client, string transport) =>
            client.Operations.Plan.Bytes().Single(b => b.Name == transport).Read;

        static bool IsMapped() => File.ReadLines("/proc/self/maps").Any(
            line => line.Contains(" r--s ") && line.Contains("memfd:mooncake"));
    }
}
