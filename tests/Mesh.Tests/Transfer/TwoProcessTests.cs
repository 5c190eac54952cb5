// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>A holder in one process, a client in another.</summary>
[Collection(nameof(AloneInProcess))]
public sealed class TwoProcessTests
{
    private const string DirectoryVariable = "MOONCAKE_MESH_TEST_HOLDER";
    private const int WriterBytes = 3 << 20;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private static readonly PutOptions Patient = new() { Deadline = Long };

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

    /// <summary>
    /// Not a test: another process that reserves in shared memory, writes when told, and seals when told again.
    /// </summary>
    [Fact(Explicit = true)]
    public async Task Writer()
    {
        string? directory = Environment.GetEnvironmentVariable(DirectoryVariable);
        Assert.SkipWhen(directory is null, "started by the other tests alone");
        var runtime = new MeshRuntime { Network = new SocketNetwork() };
        await using var client = new ClientPeer("default",
            [File.ReadAllText(Path.Combine(directory, "endpoint"))], null,
            runtime, HostIdentity.BootId);
        Assert.Null(await client.ConnectAsync(Long, CancellationToken.None));
        var holder = client.Operations.Context.View.Members[0];
        var plan = client.Operations.Plan;
        var mapping = (await plan.Shared!.HoldAsync(holder, Long, CancellationToken.None))!;
        mapping.Release();
        var head = new PutHead(new MeshKey("w"), 1, WriterBytes, 1, false, 100);
        var calls = client.Operations.Context.Calls;
        var reserved = (await calls.ReserveAsync(holder, new ReserveRequest(head, mapping.Client, 5), Long,
            CancellationToken.None)).Value;
        using var input = Console.OpenStandardInput();
        await TellAsync(directory, "reserved", input);
        using var source = new GuardedMemory(WriterBytes);
        source.Bytes.Fill(0x77);
        var sums = new SliceSums(WriterBytes);
        var write = new ExtentWrite(holder, 5, sums, mapping.Client, reserved.SegmentId, reserved.Offset);
        Assert.Equal(TransferOutcome.Done, await plan.WriteAsync(write, source.Range, Long, CancellationToken.None));
        var view = await client.Operations.ViewAsync(new MeshKey("v"), new ViewOptions { Deadline = Long },
            CancellationToken.None);
        await TellAsync(directory, view.Succeeded ? "written-and-viewing" : "written", input);
        var sealedAs = await calls.SealAsync(holder, new SealRequest(5, sums.Checksum, sums.Values), Long,
            CancellationToken.None);
        await TellAsync(directory, sealedAs.Succeeded ? "sealed" : "refused", input);
    }

    [Fact]
    public async Task A_writer_killed_before_its_seal_leaves_no_key_no_bytes_and_no_pin()
    {
        await using var world = await TransferWorld.StartAsync(32 << 20);
        using var limit = new CancellationTokenSource(Long);
        string directory = Path.GetDirectoryName(world.Record.SocketPath)!;
        File.WriteAllText(Path.Combine(directory, "endpoint"), world.Node.Endpoint);
        var viewed = new MeshKey("v");
        await world.Node.Operations.PutAsync(viewed, new byte[1 << 20], Patient, limit.Token);
        using var writer = Start(nameof(Writer), directory);
        await ToldAsync(directory, "reserved", writer, limit.Token);
        Assert.Equal(WriterBytes, world.Store.Usage.Filling);
        await writer.StandardInput.BaseStream.WriteAsync(new byte[1], limit.Token);
        await writer.StandardInput.BaseStream.FlushAsync(limit.Token);
        await ToldAsync(directory, "written-and-viewing", writer, limit.Token);
        await world.Node.Operations.RemoveAsync(viewed, Long, limit.Token);
        Assert.Equal((WriterBytes, 1 << 20), (world.Store.Usage.Filling, world.Store.Usage.Zombie));

        writer.Kill();
        while (world.Store.Usage is not { Filling: 0, Zombie: 0 })
            await Task.Delay(5, limit.Token);
        Assert.Equal(new ClientUsage(0, 0, 0, 0), world.Node.Holder.Processes.Usage);
        Assert.False(world.Store.TryFind(new MeshKey("w"), out _));
        var exists = await world.Node.Operations.ExistAsync([new MeshKey("w")], Long, limit.Token);
        Assert.False(exists[0].Value);
    }

    [Fact]
    public async Task A_writer_that_stands_still_keeps_its_extent_and_seals_when_it_goes_on()
    {
        await using var world = await TransferWorld.StartAsync(16 << 20);
        using var limit = new CancellationTokenSource(Long);
        string directory = Path.GetDirectoryName(world.Record.SocketPath)!;
        File.WriteAllText(Path.Combine(directory, "endpoint"), world.Node.Endpoint);
        using var writer = Start(nameof(Writer), directory);
        await ToldAsync(directory, "reserved", writer, limit.Token);
        Signal("STOP", writer);

        // Others want all of the memory meanwhile, many times over.
        for (int i = 0; i < 60; i++)
            await world.Node.Operations.PutAsync(new MeshKey($"o{i}"), new byte[1 << 20], Patient, limit.Token);
        world.Node.Holder.Book.Expire();
        Assert.Equal(WriterBytes, world.Store.Usage.Filling);
        Signal("CONT", writer);
        await writer.StandardInput.BaseStream.WriteAsync(new byte[2], limit.Token);
        await writer.StandardInput.BaseStream.FlushAsync(limit.Token);
        await ToldAsync(directory, "sealed", writer, limit.Token);
        using var target = new ArrayTarget();
        var got = await world.Node.Operations.GetAsync(new MeshKey("w"), target, new GetOptions { Deadline = Long },
            limit.Token);
        Assert.Equal(WriterBytes, got.Value);
        Assert.False(target.Array.AsSpan().ContainsAnyExcept((byte)0x77));
        writer.Kill();
        await writer.WaitForExitAsync(limit.Token);
    }

    [Fact]
    public async Task A_get_on_one_host_moves_no_byte_over_tcp_and_a_dead_holder_is_unmapped()
    {
        string directory = System.IO.Directory.CreateTempSubdirectory("mesh-two-").FullName;
        using var holder = Start(nameof(Holder), directory);
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

    /// <summary>Starts another process that runs one of the above.</summary>
    private static Process Start(string method, string directory)
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            Environment = { [DirectoryVariable] = directory },
        };
        foreach (string argument in (string[])[typeof(TwoProcessTests).Assembly.Location, "-explicit", "only",
            "-method", $"{typeof(TwoProcessTests).FullName}.{method}"])
            start.ArgumentList.Add(argument);
        var process = Process.Start(start)!;
        _ = process.StandardOutput.ReadToEndAsync();
        return process;
    }

    /// <summary>Says how far this process has come, and waits until it may go on.</summary>
    private static async Task TellAsync(string directory, string what, Stream input)
    {
        File.WriteAllText(Path.Combine(directory, what), "");
        Assert.Equal(1, await input.ReadAsync(new byte[1]));
    }

    private static async Task ToldAsync(string directory, string what, Process process, CancellationToken cancel)
    {
        while (!File.Exists(Path.Combine(directory, what)))
        {
            Assert.False(process.HasExited, $"the other process has ended before it was '{what}'");
            await Task.Delay(10, cancel);
        }
    }

    private static void Signal(string name, Process process)
    {
        using var kill = Process.Start("kill", ["-" + name, process.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
        Assert.Equal(0, kill.ExitCode);
    }
}
