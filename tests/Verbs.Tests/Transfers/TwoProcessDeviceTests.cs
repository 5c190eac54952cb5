// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>A mesh in another process, told to use RDMA alone, and a client that is told the same.</summary>
[Collection(RealDevices.Name)]
public sealed class TwoProcessDeviceTests
{
    private const int Size = 1 << 20;
    private const int Objects = 6;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    public TwoProcessDeviceTests() => RealDevices.SkipUnlessOurs();

    [Fact]
    public async Task Values_of_1_MiB_go_by_the_cards_and_by_nothing_else()
    {
        using var mesh = await DevMesh.StartAsync("--nodes", "1", "--segment-size", "64MiB", "--transport", "rdma");
        await using var client = await MeshClient.ConnectAsync(new MeshClientOptions
        {
            Nodes = [mesh.Endpoint],
            Transport = TransportChoice.Rdma,
            ConnectTimeout = Limit,
            Deadline = Limit,
        }, TestContext.Current.CancellationToken);
        long before = LoopbackBytes();
        for (int i = 0; i < Objects; i++)
        {
            await client.PutAsync(KeyOf(i), ValueOf(i), new PutOptions { Deadline = Limit },
                TestContext.Current.CancellationToken);
        }

        for (int i = 0; i < Objects; i++)
        {
            var got = await client.TryGetAsync(KeyOf(i), new GetOptions { Deadline = Limit },
                TestContext.Current.CancellationToken);
            Assert.True(got.Succeeded, got.Error?.Message);
            Assert.True(got.Value.AsSpan().SequenceEqual(ValueOf(i)));
        }

        // Both processes talk over the loopback interface; all of the values are 12 MiB.
        Assert.InRange(LoopbackBytes() - before, 0, Size);
        var statuses = await client.TryStatusOfAllAsync(TestContext.Current.CancellationToken);
        Assert.Equal(2, statuses[0].Status.Value.Cards.Count);
        Assert.InRange(statuses[0].Status.Value.Cards.Sum(card => card.Bytes), (long)Objects * Size, long.MaxValue);
    }

    [Fact]
    public async Task Who_asks_for_rdma_alone_is_told_why_there_is_none()
    {
        using var mesh = await DevMesh.StartAsync("--nodes", "1", "--segment-size", "64MiB", "--transport", "tcp");
        await using var client = await MeshClient.ConnectAsync(new MeshClientOptions
        {
            Nodes = [mesh.Endpoint],
            Transport = TransportChoice.Rdma,
            ConnectTimeout = Limit,
        }, TestContext.Current.CancellationToken);
        var put = await client.TryPutAsync(KeyOf(0), ValueOf(0),
            new PutOptions { Deadline = Limit }, TestContext.Current.CancellationToken);
        Assert.False(put.Succeeded);
        Assert.Equal("no transport reaches dev-0: in use here are control rdma, it offers tcp shm; the setting is "
            + "'transport'", put.Error!.Message);
    }

    private static MeshKey KeyOf(int i) => new($"rdma/{i}");

    private static byte[] ValueOf(int i)
    {
        byte[] value = new byte[Size];
        new Random(i).NextBytes(value);
        return value;
    }

    private static long LoopbackBytes() => long.Parse(
        File.ReadAllText("/sys/class/net/lo/statistics/tx_bytes"), CultureInfo.InvariantCulture);

    /// <summary>"mooncake-mesh dev" as a process of its own.</summary>
    private sealed class DevMesh : IDisposable
    {
        private readonly Process _process;

        private DevMesh(Process process, string endpoint)
        {
            _process = process;
            Endpoint = endpoint;
        }

        public string Endpoint { get; }

        public static async Task<DevMesh> StartAsync(params string[] arguments)
        {
            string program = Path.Combine(Root(), "src/Node/bin/Release/net10.0/mooncake-mesh");
            var process = Process.Start(new ProcessStartInfo(program, ["dev", "--json", .. arguments])
            {
                RedirectStandardOutput = true,
            })!;
            string? line = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
            Assert.True(line is not null, $"{program} ended before it was ready");
            using var json = JsonDocument.Parse(line);
            return new DevMesh(process, json.RootElement.GetProperty("endpoint").GetString()!);
        }

        public void Dispose()
        {
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }

        private static string Root()
        {
            string folder = AppContext.BaseDirectory;
            while (!File.Exists(Path.Combine(folder, "Mooncake.Mesh.sln")))
                folder = Path.GetDirectoryName(folder)!;
            return folder;
        }
    }
}
