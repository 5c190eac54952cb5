// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// Two network namespaces, joined by two links that are shaped to a rate in both directions. At dispose whatever runs
/// in them is ended, and they are removed, with the temporary files of what ran in them.
/// </summary>
internal sealed class RailNetwork : IAsyncDisposable
{
    /// <summary>Links between the two.</summary>
    internal const int Links = 2;

    private const int MostTries = 5;
    private static readonly string[] Folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    private readonly string _ip;
    private readonly string _tc;
    private readonly string _folder = System.IO.Directory.CreateTempSubdirectory("mesh-rails-").FullName;
    private readonly List<string> _made = [];

    private RailNetwork(string ip, string tc)
    {
        _ip = ip;
        _tc = tc;
    }

    /// <summary>The namespace that serves.</summary>
    internal string Server { get; } = $"mesh-rails-{Environment.ProcessId}-a";

    /// <summary>The namespace that gets.</summary>
    internal string Client { get; } = $"mesh-rails-{Environment.ProcessId}-b";

    /// <summary>Addresses of the serving side, one a link.</summary>
    internal static string[] ServerAddresses { get; } = ["10.77.1.1", "10.77.2.1"];

    /// <summary>Addresses of the getting side, one a link.</summary>
    internal static string[] ClientAddresses { get; } = ["10.77.1.2", "10.77.2.2"];

    /// <summary>Makes them.</summary>
    /// <param name="rate">Rate of each link as tc writes it: "1gbit".</param>
    /// <param name="cancel">Ends the making.</param>
    /// <exception cref="MeshException">Not root, no iproute2, or the kernel refuses.</exception>
    internal static async Task<RailNetwork> StartAsync(string rate, CancellationToken cancel)
    {
        if (!Environment.IsPrivilegedProcess)
            throw Fault("network namespaces are made by root alone: run it as root");
        var network = new RailNetwork(Find("ip"), Find("tc"));
        try
        {
            await network.MakeAsync(rate, cancel);
            return network;
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    /// <summary>What starts a program in a namespace: the program and its arguments follow.</summary>
    internal string[] Within(string space) =>
        [_ip, "netns", "exec", space, "env", "TMPDIR=" + _folder];

    /// <summary>
    /// The same, for a program that must not take those of the other namespace for processes of its own host.
    /// </summary>
    internal string[] WithinOtherHost(string space)
    {
        string id = Path.Combine(_folder, "boot_id");
        File.WriteAllText(id, Guid.NewGuid().ToString());
        return [.. Within(space), "sh", "-c",
            $"mount --bind {id} /proc/sys/kernel/random/boot_id && exec \"$0\" \"$@\""];
    }

    /// <summary>Takes a link down or up, at the side of one namespace.</summary>
    internal Task SetLinkAsync(string space, int link, bool up, CancellationToken cancel) =>
        IpAsync(cancel, "-n", space, "link", "set", $"rail{link}", up ? "up" : "down");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (string space in _made)
            await RemoveAsync(space);
        _made.Clear();
        System.IO.Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Ends what runs in a namespace, and removes it and its links.</summary>
    private async Task RemoveAsync(string space)
    {
        for (int i = 0; i < MostTries && File.Exists("/run/netns/" + space); i++)
        {
            // A ctrl-C is for the whole group of processes: it may have ended an "ip" of ours in the middle.
            var (code, pids, _) = await RunAsync(_ip, ["netns", "pids", space], CancellationToken.None);
            if (code != 0)
                continue;
            foreach (string pid in pids.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                Kill(int.Parse(pid, System.Globalization.CultureInfo.InvariantCulture));
            await RunAsync(_ip, ["netns", "del", space], CancellationToken.None);
        }

        if (File.Exists("/run/netns/" + space))
            throw Fault($"the namespace {space} is still there; remove it by 'ip netns del {space}'");
    }

    private async Task MakeAsync(string rate, CancellationToken cancel)
    {
        foreach (string space in (string[])[Server, Client])
        {
            _made.Add(space);
            await IpAsync(cancel, "netns", "add", space);
            await IpAsync(cancel, "-n", space, "link", "set", "lo", "up");
        }

        for (int i = 0; i < Links; i++)
        {
            string card = $"rail{i}";
            await IpAsync(cancel, "link", "add", card, "netns", Server, "type", "veth", "peer", "name", card, "netns",
                Client);
            await CardAsync(Server, card, ServerAddresses[i], rate, cancel);
            await CardAsync(Client, card, ClientAddresses[i], rate, cancel);
        }
    }

    private async Task CardAsync(string space, string card, string address, string rate, CancellationToken cancel)
    {
        await IpAsync(cancel, "-n", space, "addr", "add", address + "/24", "dev", card);
        await IpAsync(cancel, "-n", space, "link", "set", card, "up");
        await CheckedAsync(_tc, ["-n", space, "qdisc", "add", "dev", card, "root", "tbf", "rate", rate, "burst",
            "256kb", "latency", "50ms"], cancel);
    }

    private Task IpAsync(CancellationToken cancel, params string[] arguments) =>
        CheckedAsync(_ip, arguments, cancel);

    private static async Task CheckedAsync(string program, string[] arguments, CancellationToken cancel)
    {
        var (code, _, error) = await RunAsync(program, arguments, cancel);
        if (code != 0)
            throw Fault($"'{Path.GetFileName(program)} {string.Join(' ', arguments)}' failed: {error.Trim()}");
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(string program, string[] arguments,
        CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        string error = await process.StandardError.ReadToEndAsync(CancellationToken.None);
        // It is over in milliseconds; left to end, what it made is known.
        await process.WaitForExitAsync(CancellationToken.None);
        return (process.ExitCode, await output, error);
    }

    private static void Kill(int pid)
    {
        try
        {
            using Process process = Process.GetProcessById(pid);
            process.Kill();
            process.WaitForExit();
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            // It has ended by itself.
        }
    }

    private static string Find(string program)
    {
        string[] path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':');
        return path.Concat(Folders).Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists)
            ?? throw Fault($"there is no '{program}': install iproute2");
    }

    private static MeshException Fault(string message) =>
        new(new MeshError(MeshErrorCode.System, "bench", message));
}
