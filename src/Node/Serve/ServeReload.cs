// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Logging;

namespace Mooncake.Mesh.Node.Serve;

/// <summary>
/// Takes changed settings into a running node: those that cost nobody an object, and names the others. Thread-safe.
/// </summary>
/// <param name="options">What the node was started with.</param>
/// <param name="load">Reads the settings anew, with every error in them.</param>
/// <param name="threshold">Level of the log.</param>
/// <param name="log">Where is said what was done.</param>
internal sealed class ServeReload(ServeOptions options,
    Func<(ServeOptions Options, IReadOnlyList<MeshError> Errors)> load, LogThreshold threshold, ILogger log)
{
    private readonly Lock _gate = new();

    /// <summary>Names of the settings that a running node takes; docs/configuration.md lists them.</summary>
    internal static IReadOnlyList<string> Live { get; } =
    [
        "logLevel", "grace", "hardPinRatio", "clientReservedBytes", "clientViewBytes",
        "eviction_high_watermark_ratio", "eviction_ratio", "secretFile", "giveBack",
        "tiers.place", "tiers.promoteAfter", "tiers.promoteWithin", "tiers.demote",
    ];

    /// <summary>What the node goes by now.</summary>
    internal ServeOptions Current { get; private set; } = options;

    /// <summary>Reads and applies; with an error anywhere nothing is changed.</summary>
    internal void Run(MeshNode node)
    {
        lock (_gate)
            Apply(node);
    }

    private void Apply(MeshNode node)
    {
        (ServeOptions next, IReadOnlyList<MeshError> errors) = load();
        foreach (MeshError error in errors)
            log.Event(LogLevel.Error, "config.not_reloaded", "{reason}", error.Message);
        if (errors.Count > 0)
            return;
        List<string> changed = Differences(Current, next);
        // With or without a secret is another mesh, and another rule for addresses.
        bool joins = Current.Secret is null == next.Secret is null;
        string[] live = [.. changed.Where(name => Live.Contains(name) && (joins || name != "secretFile"))];
        string[] rest = [.. changed.Except(live)];
        Current = Current with
        {
            LogLevel = next.LogLevel,
            Grace = next.Grace,
            HardPinRatio = next.HardPinRatio,
            ClientReservedBytes = next.ClientReservedBytes,
            ClientViewBytes = next.ClientViewBytes,
            EvictionHighWatermarkRatio = next.EvictionHighWatermarkRatio,
            EvictionRatio = next.EvictionRatio,
            Tiers = next.Tiers,
            GiveBack = next.GiveBack,
            SecretFile = joins ? next.SecretFile : Current.SecretFile,
            Secret = joins ? next.Secret : Current.Secret,
        };
        NodeChange.Apply(node, Current.ToNodeOptions());
        if (LineLevel.TryParse(Current.LogLevel, out LogLevel least))
            threshold.Least = least;
        log.Event(LogLevel.Information, "config.reloaded", "{changed}", string.Join(',', live));
        if (rest.Length > 0)
            log.Event(LogLevel.Warning, "config.needs_restart", "{settings}", string.Join(',', rest));
    }

    /// <summary>Names of the settings that differ, in the order of the table of settings.</summary>
    private static List<string> Differences(ServeOptions before, ServeOptions after)
    {
        using JsonDocument old = JsonSerializer.SerializeToDocument(before, ServeOptionsJson.Default.ServeOptions);
        using JsonDocument now = JsonSerializer.SerializeToDocument(after, ServeOptionsJson.Default.ServeOptions);
        return [.. ServeSetting.All.Select(setting => setting.Name)
            .Where(name => Text(old.RootElement, name) != Text(now.RootElement, name))];
    }

    private static string Text(JsonElement root, string name)
    {
        foreach (string part in name.Split('.'))
            root = root.GetProperty(part);
        return root.GetRawText();
    }
}
