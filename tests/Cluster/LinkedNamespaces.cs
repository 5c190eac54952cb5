// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;

namespace Mooncake.Mesh.Cluster;

/// <summary>
/// Two network namespaces joined by two links of the same rate, "rail0" and "rail1" on both sides. Removed at dispose,
/// with whatever still runs in them.
/// </summary>
internal sealed class LinkedNamespaces : IAsyncDisposable
{
    private static int _made;
    private readonly List<string> _spaces = [];
    private readonly List<Process> _processes = [];

    /// <summary>One side: addresses 10.78.1.1 and 10.78.2.1.</summary>
    public string First { get; private set; } = "";

    /// <summary>The other side: addresses 10.78.1.2 and 10.78.2.2.</summary>
    public string Second { get; private set; } = "";

    /// <summary>Makes them; skips the test, with the reason, on a machine that cannot.</summary>
    public static async Task<LinkedNamespaces> StartAsync(string rate)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "network namespaces are made by root alone");
        var pair = new LinkedNamespaces();
        try
        {
            string name = $"mesh-test-{Environment.ProcessId}-{Interlocked.Increment(ref _made)}";
            pair.First = await pair.AddAsync(name + "-a");
            pair.Second = await pair.AddAsync(name + "-b");
            for (int i = 0; i < 2; i++)
            {
                await HostCommand.MakeAsync("ip", "link", "add", $"rail{i}", "netns", pair.First, "type", "veth",
                    "peer", "name", $"rail{i}", "netns", pair.Second);
                await CardAsync(pair.First, $"rail{i}", $"10.78.{i + 1}.1/24", rate);
                await CardAsync(pair.Second, $"rail{i}", $"10.78.{i + 1}.2/24", rate);
            }

            return pair;
        }
        catch
        {
            await pair.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts "mooncake-mesh" in a namespace, with pipes.</summary>
    public Process Start(string space, params string[] arguments)
    {
        var start = MeshCommandLine.StartInfo();
        start.FileName = "ip";
        foreach (string word in (string[])["netns", "exec", space, MeshCommandLine.Executable, .. arguments])
            start.ArgumentList.Add(word);
        var process = Process.Start(start)!;
        process.ErrorDataReceived += (_, line) => Console.Error.WriteLine(line.Data);
        process.BeginErrorReadLine();
        _processes.Add(process);
        return process;
    }

    /// <summary>Takes a link down or up, at one side.</summary>
    public static Task SetLinkAsync(string space, string card, bool up) =>
        HostCommand.CheckedAsync("ip", "-n", space, "link", "set", card, up ? "up" : "down");

    /// <summary>Bytes that have come in by a card.</summary>
    public static async Task<long> ReceivedAsync(string space, string card)
    {
        var (_, output, _) = await HostCommand.RunAsync("ip", "netns", "exec", space, "cat",
            $"/sys/class/net/{card}/statistics/rx_bytes");
        return long.Parse(output, CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            // What waits for its input cleans up after itself.
            if (!process.HasExited)
                process.StandardInput.Close();
            process.WaitForExit(TimeSpan.FromSeconds(10));
            process.Dispose();
        }

        foreach (string space in _spaces)
        {
            var (_, pids, _) = await HostCommand.RunAsync("ip", "netns", "pids", space);
            foreach (string pid in pids.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                await HostCommand.RunAsync("kill", "-9", pid);
            await HostCommand.RunAsync("ip", "netns", "del", space);
        }
    }

    private static async Task CardAsync(string space, string card, string address, string rate)
    {
        await HostCommand.CheckedAsync("ip", "-n", space, "addr", "add", address, "dev", card);
        await HostCommand.CheckedAsync("ip", "-n", space, "link", "set", card, "up");
        await HostCommand.MakeAsync("tc", "-n", space, "qdisc", "add", "dev", card, "root", "tbf", "rate", rate,
            "burst", "256kb", "latency", "50ms");
    }

    private async Task<string> AddAsync(string space)
    {
        await HostCommand.MakeAsync("ip", "netns", "add", space);
        _spaces.Add(space);
        await HostCommand.CheckedAsync("ip", "-n", space, "link", "set", "lo", "up");
        return space;
    }
}
