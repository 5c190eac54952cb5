// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Node.Serve;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Node.Tests.Serve;

public sealed class MasterServerTests : IAsyncLifetime
{
    private readonly TestTerminal _terminal = new();
    private readonly DaemonState _state = new();
    private ILoggerFactory _logs = null!;
    private EmbeddedRegistry _registry = null!;
    private MeshNode _node = null!;
    private MasterServer _server = null!;
    private HttpClient _http = null!;

    public async ValueTask InitializeAsync()
    {
        _logs = Logs.Create(_terminal.Terminal, LogLevel.Warning);
        var runtime = new MeshRuntime { Network = new SocketNetwork(), Log = _logs };
        _registry = new EmbeddedRegistry(new EmbeddedRegistryStore(runtime.Time, runtime.Random), runtime);
        var options = new ServeOptions
        {
            NodeId = "master1",
            SocketPath = "",
            Segments = [new SegmentSetting { Size = 1 << 20 }],
        };
        _node = (await MeshNode.StartAsync(options.ToNodeOptions(), _registry, runtime, CancellationToken.None)).Value;
        _server = (await MasterServer.StartAsync("127.0.0.1:0", _state, _terminal.Terminal,
            new LogThreshold(LogLevel.Warning), CancellationToken.None)).Value;
        _http = new HttpClient { BaseAddress = new Uri($"http://{_server.Endpoint}") };
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _server.DisposeAsync();
        await _node.DisposeAsync();
        await _registry.DisposeAsync();
        _logs.Dispose();
    }

    /// <summary>The node serves, and owns its slots.</summary>
    private async Task ServeAsync()
    {
        _state.Started(_node);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!(await _http.GetAsync("/get_all_segments", limit.Token)).IsSuccessStatusCode)
            await Task.Yield();
    }

    [Fact]
    public async Task Health_is_told_at_once_and_the_rest_once_the_node_serves()
    {
        Assert.Equal("OK", await _http.GetStringAsync("/health"));
        foreach (string path in (string[])["/get_all_segments", "/batch_query_keys?keys=a"])
        {
            using HttpResponseMessage answer = await _http.GetAsync(path);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
            Assert.Contains("service plane is not active", await answer.Content.ReadAsStringAsync());
        }

        await ServeAsync();
        Assert.Equal("master1\n", await _http.GetStringAsync("/get_all_segments"));
        _state.Leaving();
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await _http.GetAsync("/get_all_segments")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await _http.GetAsync("/else")).StatusCode);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await _http.PostAsync("/health", null)).StatusCode);
    }

    [Fact]
    public async Task Keys_are_told_with_the_nodes_that_have_them()
    {
        await ServeAsync();
        var put = await _node.Operations.PutAsync(new MeshKey("vllm@m/1"), new byte[100], null, CancellationToken.None);
        Assert.Null(put.Error);
        string text = await _http.GetStringAsync("/batch_query_keys?keys=vllm%40m%2F1,no\"one,vllm@m/1");
        using JsonDocument json = JsonDocument.Parse(text);
        Assert.True(json.RootElement.GetProperty("success").GetBoolean());
        JsonElement data = json.RootElement.GetProperty("data");
        Assert.Equal(2, data.EnumerateObject().Count());
        JsonElement found = data.GetProperty("vllm@m/1");
        Assert.True(found.GetProperty("ok").GetBoolean());
        JsonElement value = Assert.Single(found.GetProperty("values").EnumerateArray());
        Assert.Equal(100, value.GetProperty("size_").GetInt64());
        Assert.Equal("master1", value.GetProperty("transport_endpoint_").GetString());
        JsonElement missing = data.GetProperty("no\"one");
        Assert.False(missing.GetProperty("ok").GetBoolean());
        Assert.Equal("OBJECT_NOT_FOUND", missing.GetProperty("error").GetString());
    }

    [Fact]
    public async Task No_keys_or_too_many_are_a_bad_request()
    {
        await ServeAsync();
        foreach (string keys in (string[])["", ",,", string.Join(',', Enumerable.Range(0, MasterServer.MaxKeys + 1))])
        {
            using HttpResponseMessage answer = await _http.GetAsync($"/batch_query_keys?keys={keys}");
            Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
            Assert.StartsWith("{\"success\":false,\"error\":\"", await answer.Content.ReadAsStringAsync());
        }

        string most = string.Join(',', Enumerable.Range(0, MasterServer.MaxKeys).Select(i => $"k{i:d64}"));
        using JsonDocument json = JsonDocument.Parse(await _http.GetStringAsync($"/batch_query_keys?keys={most}"));
        Assert.Equal(MasterServer.MaxKeys, json.RootElement.GetProperty("data").EnumerateObject().Count());
    }

    [Fact]
    public async Task Metrics_have_the_names_of_a_master()
    {
        await ServeAsync();
        string metrics = await _http.GetStringAsync("/metrics");
        Assert.Matches(@"(?m)^master_total_capacity_bytes(\{[^}]*\})? 1048576\b", metrics);
        Assert.Matches("(?m)^segment_total_capacity_bytes\\{[^}]*segment=\"master1\"[^}]*\\} 1048576\\b", metrics);
        Assert.Matches("(?m)^segment_allocated_bytes\\{[^}]*segment=\"master1\"[^}]*\\} 0\\b", metrics);
    }

    [Fact]
    public void An_open_port_must_be_allowed()
    {
        var options = new ServeOptions { MasterHttp = "0.0.0.0:9003", Etcd = new EtcdOptions { Endpoints = "a:1" } };
        Assert.Contains(ServeOptionsValidator.Validate(options, long.MaxValue),
            error => error.Message.StartsWith("masterHttp: 0.0.0.0:9003 is no loopback", StringComparison.Ordinal));
        options.Insecure = true;
        Assert.DoesNotContain(ServeOptionsValidator.Validate(options, long.MaxValue),
            error => error.Message.Contains("masterHttp", StringComparison.Ordinal));
    }
}
