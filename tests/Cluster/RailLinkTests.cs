// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Security.Cryptography;

namespace Mooncake.Mesh.Cluster;

/// <summary>
/// A node in one network namespace and a client in another, with two links between them. Needs root; says why it is
/// skipped where it cannot run.
/// </summary>
[Trait("needs", "etcd")]
public sealed class RailLinkTests : IDisposable
{
    private const int Size = 128 << 20;
    private const int MiB = 1 << 20;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private readonly string _file = Path.GetTempFileName();

    [Fact]
    public async Task Both_links_carry_a_large_get_and_one_that_goes_down_and_comes_back_is_used_again()
    {
        await using var links = await LinkedNamespaces.StartAsync("400mbit");
        string sum = await FillAsync();
        var server = links.Start(links.First, "bench-peer", "rail-server", "10.78.1.1,10.78.2.1", _file);
        string[] served = (await LineAsync(server)).Split(' ');
        var client = links.Start(links.Second, "bench-peer", "rail-client", served[0], served[1],
            "10.78.1.2,10.78.2.2");
        Assert.Equal("ready", await LineAsync(client));

        var (first, second) = await CarriedAsync(links, () => GetsRightAsync(client, "all", sum));
        Assert.True(first > Size / 4, $"the first link carried {first} bytes of {Size}");
        Assert.True(second > Size / 4, $"the second link carried {second} bytes of {Size}");

        (first, second) = await CarriedAsync(links, () => GetsRightAsync(client, "one", sum));
        Assert.True(first > Size, $"the first link carried {first} bytes of {Size}");
        Assert.True(second < MiB, $"the second link carried {second} bytes of a get over the first");

        (first, _) = await CarriedAsync(links, () => LosesALinkAsync(links, client, sum));
        Assert.True(first > Size / 2, $"the first link carried {first} bytes of {Size}, without the second");

        await LinkedNamespaces.SetLinkAsync(links.First, "rail1", up: true);
        await Eventually.AsyncTrue(
            async () => (await CarriedAsync(links, () => GetsRightAsync(client, "all", sum))).Second > Size / 4, Limit,
            "the link that came back was not used again");
    }

    public void Dispose() => File.Delete(_file);

    /// <summary>A get, in the middle of which the second link goes down.</summary>
    private static async Task LosesALinkAsync(LinkedNamespaces links, Process client, string sum)
    {
        long before = await LinkedNamespaces.ReceivedAsync(links.Second, "rail1");
        var getting = GetsRightAsync(client, "all", sum);
        await Eventually.AsyncTrue(
            async () => await LinkedNamespaces.ReceivedAsync(links.Second, "rail1") > before + (8 * MiB), Limit,
            "the second link carries nothing");
        Assert.False(getting.IsCompleted);
        await LinkedNamespaces.SetLinkAsync(links.First, "rail1", up: false);
        await getting;
    }

    private static async Task<(long First, long Second)> CarriedAsync(LinkedNamespaces links, Func<Task> action)
    {
        long first = await LinkedNamespaces.ReceivedAsync(links.Second, "rail0");
        long second = await LinkedNamespaces.ReceivedAsync(links.Second, "rail1");
        await action();
        return (await LinkedNamespaces.ReceivedAsync(links.Second, "rail0") - first,
            await LinkedNamespaces.ReceivedAsync(links.Second, "rail1") - second);
    }

    private static async Task GetsRightAsync(Process client, string rails, string sum)
    {
        await client.StandardInput.WriteLineAsync($"{rails} rails");
        await client.StandardInput.FlushAsync();
        string answer = await LineAsync(client);
        Assert.EndsWith($" {Size} {sum}", answer);
    }

    private static async Task<string> LineAsync(Process process)
    {
        string? line = await process.StandardOutput.ReadLineAsync().WaitAsync(Limit);
        Assert.True(line is not null, "the process has ended");
        return line;
    }

    private async Task<string> FillAsync()
    {
        byte[] value = new byte[Size];
        new Random(1).NextBytes(value);
        await File.WriteAllBytesAsync(_file, value);
        return Convert.ToHexString(SHA256.HashData(value));
    }
}
