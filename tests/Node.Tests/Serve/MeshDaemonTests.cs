// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Node.Serve;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Node.Tests.Serve;

public sealed class MeshDaemonTests
{
    private readonly TestTerminal _terminal = new();

    [Fact]
    public async Task It_answers_on_the_admin_port_and_leaves_at_the_signal()
    {
        await using var daemon = await RunningDaemon.StartAsync(_terminal);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{daemon.Admin}") };
        Assert.Equal("ok\n", await http.GetStringAsync("/healthz"));
        await UntilReadyAsync(http);
        Assert.Contains("\"nodeId\":\"n1\"", await http.GetStringAsync("/status"));
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync("/else")).StatusCode);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await http.PostAsync("/healthz", null)).StatusCode);

        daemon.Signals.Raise();
        Assert.Null(await daemon.Ended);
        Assert.Contains(" info node.serving nodeId=n1 ", _terminal.Error);
        Assert.Contains(" info node.left nodeId=n1\n", _terminal.Error);
        await Assert.ThrowsAsync<HttpRequestException>(() => http.GetStringAsync("/healthz"));
    }

    /// <summary>A process that was not run for a while is not sure of its view, and says so.</summary>
    private static async Task UntilReadyAsync(HttpClient http)
    {
        long end = Environment.TickCount64 + 30_000;
        string said;
        while ((said = await (await http.GetAsync("/readyz")).Content.ReadAsStringAsync()) != "ready\n")
        {
            Assert.True(Environment.TickCount64 < end, said);
            await Task.Delay(20);
        }
    }

    [Fact]
    public async Task Metrics_have_every_documented_name()
    {
        await using var daemon = await RunningDaemon.StartAsync(_terminal);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{daemon.Admin}") };
        string metrics = await http.GetStringAsync("/metrics");
        string page = await File.ReadAllTextAsync(Path.Combine(TestTree.Root, "docs/metrics.md"));
        string[] documented = [.. Regex.Matches(page, @"(?m)^\| `(mooncake_mesh_\w+)`").Select(m => m.Groups[1].Value)];
        Assert.NotEmpty(documented);
        Assert.All(documented, name => Assert.Contains($"\n# TYPE {name} ", "\n" + metrics));
        string[] served =
            [.. Regex.Matches(metrics, @"(?m)^# TYPE (mooncake_mesh_\w+) ").Select(m => m.Groups[1].Value)];
        Assert.Empty(served.Except(documented));
    }

    [Fact]
    public async Task An_admin_port_in_use_names_setting_and_port()
    {
        using var holder = new TcpListener(IPAddress.Loopback, 0);
        holder.Start();
        int port = ((IPEndPoint)holder.LocalEndpoint).Port;
        MeshResult<AdminServer> admin = await AdminServer.StartAsync(
            $"127.0.0.1:{port}", new DaemonState(), _terminal.Terminal, new LogThreshold(LogLevel.Information),
            CancellationToken.None);
        Assert.Equal("admin", admin.Error!.Stage);
        Assert.Equal($"port {port} of setting admin (127.0.0.1:{port}) is already in use", admin.Error.Message);
    }

    [Fact]
    public void Before_the_node_runs_it_is_not_ready()
    {
        var state = new DaemonState();
        Assert.Equal("starting", state.NotReadyReason);
        Assert.Equal("{\"state\":\"starting\"}"u8.ToArray(), state.StatusJson());
    }

    private sealed class RunningDaemon : IAsyncDisposable
    {
        private readonly ILoggerFactory _logs;
        private readonly EmbeddedRegistry _registry;

        private RunningDaemon(TestTerminal terminal)
        {
            _logs = Logs.Create(terminal.Terminal, LogLevel.Information);
            var runtime = new MeshRuntime { Network = new SocketNetwork(), Log = _logs };
            _registry = new EmbeddedRegistry(new EmbeddedRegistryStore(runtime.Time, runtime.Random), runtime);
            var options = new ServeOptions
            {
                NodeId = "n1",
                Grace = TimeSpan.Zero,
                Segments = [new SegmentSetting { Size = 1 << 20 }],
            };
            var daemon = new MeshDaemon(options, terminal.Terminal, _logs, Signals)
            {
                OnReady = served => Ready.TrySetResult(served.Admin),
            };
            Ended = daemon.RunAsync(_registry, runtime);
        }

        internal Signals Signals { get; } = new();

        internal TaskCompletionSource<string> Ready { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        internal Task<MeshError?> Ended { get; }

        internal string Admin => Ready.Task.Result;

        internal static async Task<RunningDaemon> StartAsync(TestTerminal terminal)
        {
            var daemon = new RunningDaemon(terminal);
            await await Task.WhenAny(daemon.Ready.Task, daemon.Ended);
            return daemon;
        }

        public async ValueTask DisposeAsync()
        {
            if (!Signals.First.IsCancellationRequested)
                Signals.Raise();
            await Ended;
            await _registry.DisposeAsync();
            _logs.Dispose();
            Signals.Dispose();
        }
    }
}
