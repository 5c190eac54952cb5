// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>
/// User and certificates of etcd for a client command: the flags, and below them the environment, of "serve".
/// </summary>
internal sealed class EtcdFlags
{
    private readonly (ServeSetting Setting, Option<string?> Flag)[] _flags =
    [
        .. ServeSetting.All
            .Where(setting => setting.Name.StartsWith("etcd.", StringComparison.Ordinal)
                && setting.Name != "etcd.endpoints")
            .Select(setting => (setting, new Option<string?>(setting.Flag)
            {
                Description = $"{setting.Help} (default: {setting.Variable})",
                HelpName = setting.Name == "etcd.user" ? "NAME" : "FILE",
            })),
    ];

    internal EtcdFlags(Command command)
    {
        foreach (var (_, flag) in _flags)
            command.Options.Add(flag);
    }

    /// <summary>A flag that was typed, or null.</summary>
    internal string? Given(ParseResult parsed) =>
        _flags.FirstOrDefault(f => parsed.GetResult(f.Flag) is not null).Flag?.Name;

    /// <summary>What was typed, or stands in the environment.</summary>
    internal EtcdRegistryOptions Read(ParseResult parsed, Func<string, string?> environment)
    {
        var options = new ServeOptions();
        foreach (var (setting, flag) in _flags)
        {
            if ((parsed.GetValue(flag) ?? environment(setting.Variable)) is { } text)
                options = setting.Apply(options, text);
        }

        return ServeOptionsValidator.EtcdSettings(options);
    }
}
