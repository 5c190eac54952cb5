// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Mooncake.Mesh.Cluster.Faults;

namespace Mooncake.Mesh.Cluster;

/// <summary>One "mooncake-mesh serve" as a process of its own; killed at dispose if it still runs.</summary>
internal sealed class ServeProcess : IAsyncDisposable
{
    private const int SigStop = 19;
    private const int SigCont = 18;
    private const int SigTerm = 15;
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(40);
    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromSeconds(5) };

    private static readonly Dictionary<string, string> None = [];

    private readonly Process _process;
    private readonly List<string> _output = [];
    private readonly List<string> _log = [];
    private readonly TaskCompletionSource<string> _firstLine = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _suspended;

    private ServeProcess(string nodeId, NetworkHost? host, IReadOnlyDictionary<string, string> environment,
        string[] arguments)
    {
        NodeId = nodeId;
        var start = MeshCommandLine.StartInfo();
        string[] command = [.. host?.Starter ?? [], MeshCommandLine.Executable, .. arguments];
        start.FileName = command[0];
        foreach (string word in command[1..])
            start.ArgumentList.Add(word);
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        _process = Process.Start(start)!;
        _process.StandardInput.Close();
        _process.OutputDataReceived += (_, line) => Take(_output, line.Data, isOutput: true);
        _process.ErrorDataReceived += (_, line) => Take(_log, line.Data, isOutput: false);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public string NodeId { get; }

    /// <summary>How to ask for the status of a node whose admin port cannot be reached from here.</summary>
    public Func<Task<NodeStatus?>>? AskStatus { get; init; }

    public int Pid => _process.Id;

    public string Endpoint { get; private set; } = "";

    public string Admin { get; private set; } = "";

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    /// <summary>Lines on standard output so far.</summary>
    public string[] Output => Copy(_output);

    /// <summary>Lines on standard error so far.</summary>
    public string[] Log => Copy(_log);

    /// <summary>Starts a node and waits for its ready line.</summary>
    public static async Task<ServeProcess> StartAsync(string nodeId, params string[] arguments)
    {
        var serve = Launch(nodeId, arguments);
        try
        {
            await serve.ReadyAsync();
            return serve;
        }
        catch
        {
            await serve.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a node and does not wait.</summary>
    public static ServeProcess Launch(string nodeId, params string[] arguments) =>
        LaunchOn(null, nodeId, null, None, arguments);

    /// <summary>The same on a host of a network, and with further environment variables.</summary>
    public static ServeProcess LaunchOn(NetworkHost? host, string nodeId, Func<Task<NodeStatus?>>? status,
        IReadOnlyDictionary<string, string> environment, params string[] arguments) =>
        new(nodeId, host, environment, ["serve", "--json", "--node-id", nodeId, .. arguments]) { AskStatus = status };

    /// <summary>Waits for the ready line and takes the addresses from it.</summary>
    public async Task ReadyAsync()
    {
        var ended = _process.WaitForExitAsync();
        await Task.WhenAny(_firstLine.Task, ended).WaitAsync(StartLimit);
        if (!_firstLine.Task.IsCompleted)
        {
            await Task.WhenAny(_firstLine.Task, Task.Delay(TimeSpan.FromSeconds(1)));
            Assert.True(_firstLine.Task.IsCompleted, $"{NodeId} did not start:\n{string.Join('\n', Log)}");
        }

        using var ready = JsonDocument.Parse(await _firstLine.Task);
        Endpoint = ready.RootElement.GetProperty("endpoint").GetString()!;
        Admin = ready.RootElement.GetProperty("admin").GetString()!;
    }

    /// <summary>What the admin port says; null when it does not answer.</summary>
    public async Task<NodeStatus?> TryStatusAsync()
    {
        if (AskStatus is not null)
            return await AskStatus();
        try
        {
            return NodeStatus.FromJson(await Http.GetByteArrayAsync($"http://{Admin}/status"));
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            return null;
        }
    }

    public async Task<NodeStatus> StatusAsync()
    {
        var status = await TryStatusAsync();
        Assert.True(status is not null, $"{NodeId} gives no status");
        return status;
    }

    /// <summary>SIGKILL; returns at once.</summary>
    public void Kill() => _process.Kill();

    /// <summary>SIGTERM; returns at once.</summary>
    public void Terminate() => Signal(SigTerm);

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

    /// <summary>Waits for the end; the exit code.</summary>
    public async Task<int> ExitAsync(TimeSpan limit)
    {
        await _process.WaitForExitAsync().WaitAsync(limit);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            if (_suspended)
                Resume();
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    private static string[] Copy(List<string> lines)
    {
        lock (lines)
            return [.. lines];
    }

    private void Take(List<string> lines, string? line, bool isOutput)
    {
        if (line is null)
            return;
        lock (lines)
            lines.Add(line);
        if (isOutput)
            _firstLine.TrySetResult(line);
    }

    private void Signal(int signal) => Assert.Equal(0, Kill(_process.Id, signal));

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int pid, int signal);
}
