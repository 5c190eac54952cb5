// SPDX-License-Identifier: Apache-2.0

using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Node.Serve;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Node.Tests.Serve;

/// <summary>What a running node takes of changed settings, and that it loses nothing by it.</summary>
public sealed class ServeReloadTests : IAsyncLifetime
{
    private static readonly byte[] Value = new byte[100_000];
    private readonly TestTerminal _terminal = new();
    private readonly LogThreshold _threshold = new(LogLevel.Information);
    private readonly List<MeshError> _errors = [];
    private ILoggerFactory _logs = null!;
    private EmbeddedRegistry _registry = null!;
    private MeshNode _node = null!;
    private ServeReload _reload = null!;
    private ServeOptions _next = null!;

    public async ValueTask InitializeAsync()
    {
        _logs = Logs.Create(_terminal.Terminal, _threshold);
        var runtime = new MeshRuntime { Network = new SocketNetwork(), Log = _logs };
        _registry = new EmbeddedRegistry(new EmbeddedRegistryStore(runtime.Time, runtime.Random), runtime);
        _next = new ServeOptions
        {
            NodeId = "n1",
            SocketPath = "",
            Segments = [new SegmentSetting { Size = 4 << 20 }],
            Secret = SecretOf("the first secret of all"),
        };
        _node = (await MeshNode.StartAsync(_next.ToNodeOptions(), _registry, runtime, CancellationToken.None)).Value;
        _reload = new ServeReload(_next, () => (_next, _errors), _threshold, _logs.CreateLogger("Serve"));
    }

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync();
        await _registry.DisposeAsync();
        _logs.Dispose();
    }

    [Fact]
    public async Task Limits_change_and_what_was_put_before_stays()
    {
        await using MeshClient client = await ClientAsync(_next.Secret);
        Assert.True((await client.TryPutAsync(new MeshKey("before"), Value)).Succeeded);
        Reload(_next with { HardPinRatio = 0 });
        Assert.Equal(MeshErrorCode.PinLimit, (await HardAsync(client, "refused")).Error?.Code);
        Reload(_next with { HardPinRatio = 1 });
        Assert.Null((await HardAsync(client, "taken")).Error);
        Assert.Equal(Value, (await client.TryGetAsync(new MeshKey("before"))).Value);
        Assert.Contains(" info config.reloaded changed=hardPinRatio\n", _terminal.Error);
    }

    [Fact]
    public void Tiers_are_taken_by_name_and_a_wrong_one_is_not()
    {
        Reload(_next with { Tiers = new TierSettings { Place = "vram", PromoteWithin = TimeSpan.FromSeconds(5) } });
        Assert.Contains(" info config.reloaded changed=tiers.place,tiers.promoteWithin\n", _terminal.Error);
        Assert.Equal("vram", _reload.Current.Tiers.Place);
        Assert.Equal(Segments.TierPlace.Vram, _reload.Current.ToNodeOptions().Tiers.Place);
        Assert.Equal(TimeSpan.FromSeconds(5), _reload.Current.ToNodeOptions().Tiers.PromoteWithin);
    }

    [Fact]
    public async Task The_watermark_changes_how_much_stays_free()
    {
        await using MeshClient client = await ClientAsync(_next.Secret);
        for (int i = 0; i < 30; i++)
            Assert.True((await client.TryPutAsync(new MeshKey($"k{i}"), Value)).Succeeded);
        Reload(_next with { EvictionHighWatermarkRatio = 0.25 });
        while (_node.Status().Memory is var memory && memory.Live > memory.Capacity / 4)
            await Task.Yield();
    }

    [Fact]
    public void The_log_level_changes()
    {
        Reload(_next with { LogLevel = "warn" });
        Assert.False(_logs.CreateLogger("Else").IsEnabled(LogLevel.Information));
        Reload(_next with { LogLevel = "debug" });
        Assert.True(_logs.CreateLogger("Else").IsEnabled(LogLevel.Debug));
    }

    [Fact]
    public async Task A_secret_is_replaced_and_connections_stay()
    {
        ClusterSecret second = SecretOf("the second secret of all");
        await using MeshClient before = await ClientAsync(_next.Secret);
        Assert.True((await before.TryPutAsync(new MeshKey("k"), Value)).Succeeded);
        ClusterSecret first = _next.Secret!;
        Reload(_next with { Secret = second });
        Assert.True((await before.TryGetAsync(new MeshKey("k"))).Succeeded);
        await using MeshClient after = await ClientAsync(second);
        Assert.True((await after.TryGetAsync(new MeshKey("k"))).Succeeded);
        MeshResult<MeshClient> late = await MeshClient.TryConnectAsync(OptionsOf(first));
        Assert.Equal(MeshErrorCode.Unauthenticated, late.Error?.Code);
    }

    [Fact]
    public void What_takes_a_restart_is_named_and_not_taken()
    {
        Reload(_next with { Listen = "127.0.0.1:12799", Grace = TimeSpan.FromSeconds(9), Secret = null });
        Assert.Contains(" info config.reloaded changed=grace\n", _terminal.Error);
        Assert.Contains(" warn config.needs_restart settings=listen", _terminal.Error);
        Assert.Equal("127.0.0.1:0", _reload.Current.Listen);
        Assert.NotNull(_reload.Current.Secret);
        Assert.Equal(TimeSpan.FromSeconds(9), _reload.Current.Grace);
    }

    [Fact]
    public void With_an_error_nothing_changes()
    {
        _errors.Add(new MeshError(MeshErrorCode.InvalidArgument, "config", "line 3: nonsense"));
        Reload(_next with { LogLevel = "trace", Grace = TimeSpan.FromSeconds(9) });
        Assert.Contains(" error config.not_reloaded reason=\"line 3: nonsense\"\n", _terminal.Error);
        Assert.Equal(LogLevel.Information, _threshold.Least);
        Assert.Equal(TimeSpan.FromSeconds(5), _reload.Current.Grace);
    }

    [Fact]
    public void Settings_that_are_taken_are_settings_and_on_the_page()
    {
        Assert.Empty(ServeReload.Live.Except(ServeSetting.All.Select(setting => setting.Name)));
        string page = File.ReadAllText(Path.Combine(TestTree.Root, "docs/configuration.md"));
        string section = Regex.Match(page, @"(?s)\n## Reload\n(.*?)\n## ").Groups[1].Value;
        Assert.Equal(ServeReload.Live.Order(),
            Regex.Matches(section, @"(?m)^\| `([\w.]+)` \|").Select(match => match.Groups[1].Value).Order());
    }

    private static ClusterSecret SecretOf(string text) => ClusterSecret.Parse(Encoding.UTF8.GetBytes(text)).Value;

    private static async Task<MeshResult<PutOutcome>> HardAsync(MeshClient client, string key) =>
        await client.TryPutAsync(new MeshKey(key), Value, new PutOptions { Pin = ObjectPin.Hard });

    private MeshClientOptions OptionsOf(ClusterSecret? secret) => new() { Nodes = [_node.Endpoint], Secret = secret };

    private Task<MeshClient> ClientAsync(ClusterSecret? secret) => MeshClient.ConnectAsync(OptionsOf(secret));

    private void Reload(ServeOptions next)
    {
        _next = next;
        _reload.Run(_node);
    }
}
