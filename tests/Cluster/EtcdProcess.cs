// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Net.Sockets;
using System.Net;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Cluster.Faults;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Cluster;

/// <summary>An etcd of our own on free ports, with its own data directory, both gone at dispose.</summary>
internal sealed class EtcdProcess : IAsyncDisposable
{
    public const string Path = "/usr/bin/etcd";
    private const int SigStop = 19;
    private const int SigCont = 18;
    private const int SigTerm = 15;
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(30);

    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-etcd-").FullName;
    private readonly int _clientPort = FreePort.Take();
    private readonly int _peerPort = FreePort.Take();
    private readonly string[] _tls;
    private Process? _process;
    private bool _suspended;

    private readonly NetworkHost? _host;

    private EtcdProcess(string[] tls, NetworkHost? host = null)
    {
        _tls = tls;
        _host = host;
    }

    public string Endpoint => $"{Scheme}://{Address}:{_clientPort}";

    private string Address => _host?.Address ?? "127.0.0.1";

    private string Scheme => _tls.Length > 0 ? "https" : "http";

    private string DataDirectory => System.IO.Path.Combine(_directory, "data");

    public static async Task<EtcdProcess> StartAsync(params string[] tls)
    {
        var etcd = new EtcdProcess(tls);
        await etcd.LaunchAsync();
        return etcd;
    }

    /// <summary>Starts it on a host of a network.</summary>
    public static async Task<EtcdProcess> StartOnAsync(NetworkHost host)
    {
        var etcd = new EtcdProcess([], host);
        await etcd.LaunchAsync();
        return etcd;
    }

    /// <summary>SIGTERM, and waits for the end.</summary>
    public async Task StopAsync()
    {
        Signal(SigTerm);
        await _process!.WaitForExitAsync();
    }

    /// <summary>SIGKILL, and waits for the end.</summary>
    public async Task KillAsync()
    {
        _process!.Kill();
        await _process.WaitForExitAsync();
    }

    public void Suspend()
    {
        Signal(SigStop);
        _suspended = true;
    }

    public void Resume()
    {
        Signal(SigCont);
        _suspended = false;
    }

    /// <summary>Kills it if it runs and starts it again, with its data or with none.</summary>
    public async Task RestartAsync(bool wipe)
    {
        if (_process is { HasExited: false })
            await KillAsync();
        if (wipe)
            System.IO.Directory.Delete(DataDirectory, recursive: true);
        await LaunchAsync();
    }

    /// <summary>Compacts everything up to the present revision.</summary>
    public async Task CompactAsync()
    {
        string json = await CtlAsync("get", "x", "-w", "json");
        long revision = System.Text.Json.JsonDocument.Parse(json).RootElement.GetProperty("header")
            .GetProperty("revision").GetInt64();
        await CtlAsync("compact", $"{revision}");
    }

    /// <summary>Runs etcdctl; its output, or an exception with its errors.</summary>
    public Task<string> CtlAsync(params string[] arguments) =>
        CtlWithInputAsync("", arguments);

    /// <summary>Runs etcdctl, which reads <paramref name="input"/>.</summary>
    public async Task<string> CtlWithInputAsync(string input, params string[] arguments)
    {
        var start = new ProcessStartInfo("/usr/bin/etcdctl", ["--endpoints", Endpoint, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["ETCDCTL_API"] = "3" },
        };
        using var process = Process.Start(start)!;
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException(await errors);
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            if (_suspended)
                Resume();
            await KillAsync();
        }

        _process?.Dispose();
        System.IO.Directory.Delete(_directory, recursive: true);
    }

    private async Task LaunchAsync()
    {
        string[] command =
        [
            .. _host?.Starter ?? [], Path,
            "--name", "m", "--data-dir", DataDirectory, "--unsafe-no-fsync", "--logger", "zap", "--log-level", "error",
            "--listen-client-urls", Endpoint, "--advertise-client-urls", Endpoint,
            "--listen-peer-urls", $"http://127.0.0.1:{_peerPort}",
            "--initial-advertise-peer-urls", $"http://127.0.0.1:{_peerPort}",
            "--initial-cluster", $"m=http://127.0.0.1:{_peerPort}", .. _tls,
        ];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        _process?.Dispose();
        _process = Process.Start(start)!;
        // Nobody reads the pipes otherwise, and a full pipe stops etcd.
        _process.ErrorDataReceived += (_, _) => { };
        _process.OutputDataReceived += (_, _) => { };
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
        await Eventually.AsyncTrue(CanConnectAsync, StartLimit, "etcd did not open its port");
    }

    private async Task<bool> CanConnectAsync()
    {
        Assert.False(_process!.HasExited, "etcd ended at its start");
        using var socket = new TcpClient();
        try
        {
            await socket.ConnectAsync(IPAddress.Parse(Address), _clientPort);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private void Signal(int signal) => Assert.Equal(0, Kill(_process!.Id, signal));

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int pid, int signal);
}

/// <summary>Waits for conditions, with a deadline.</summary>
public static class Eventually
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    public static Task True(Func<bool> condition, TimeSpan limit, Func<string> why) =>
        WaitAsync(() => Task.FromResult(condition()), limit, why);

    public static Task AsyncTrue(Func<Task<bool>> condition, TimeSpan limit, string why) =>
        WaitAsync(condition, limit, () => why);

    private static async Task WaitAsync(Func<Task<bool>> condition, TimeSpan limit, Func<string> why)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!await condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < limit, why());
            await Task.Delay(Poll);
        }
    }
}
