// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>How a client command finds its mesh.</summary>
internal sealed class ConnectionFlags
{
    private readonly Option<string[]> _node = new("--node")
    {
        Description = "address of any node (repeatable)",
        HelpName = "HOST:PORT",
    };

    private readonly Option<string?> _etcd = new("--etcd")
    {
        Description = "etcd endpoints, separated by commas",
        HelpName = "ENDPOINTS",
    };

    private readonly Option<string> _cluster = new("--cluster")
    {
        Description = "name of the mesh",
        HelpName = "NAME",
        DefaultValueFactory = _ => "default",
    };

    private readonly Option<string?> _rails = new("--rails")
    {
        Description = "addresses of this host's network cards, for large gets",
        HelpName = "IP,IP",
    };

    private readonly Option<string> _transport = Flags.Transport();
    private readonly Option<string?> _secretFile = Flags.SecretFile();
    private readonly TextOption<TimeSpan> _deadline = Flags.Duration("--deadline", "longest time for a call", "1s");

    private readonly EtcdFlags _etcdAccess;

    internal ConnectionFlags(Command command)
    {
        command.Options.Add(_node);
        command.Options.Add(_etcd);
        _etcdAccess = new EtcdFlags(command);
        command.Options.Add(_cluster);
        command.Options.Add(_rails);
        command.Options.Add(_transport);
        command.Options.Add(_secretFile);
        command.Options.Add(_deadline);
    }

    /// <summary>The deadline, if one was typed; a value of any size has a default of its own otherwise.</summary>
    internal TimeSpan? GivenDeadline(ParseResult parsed) =>
        parsed.GetResult(_deadline) is { Implicit: false } ? _deadline.Read(parsed) : null;

    /// <summary>The deadline of each call.</summary>
    internal TimeSpan Deadline(ParseResult parsed) => _deadline.Read(parsed);

    /// <summary>Whether a mesh was named.</summary>
    internal bool Given(ParseResult parsed) =>
        parsed.GetValue(_etcd) is not null || parsed.GetValue(_node) is { Length: > 0 };

    /// <summary>Connects.</summary>
    /// <exception cref="MeshException">No mesh was named, or none of it answers.</exception>
    internal async Task<MeshClient> ConnectAsync(ParseResult parsed, CancellationToken cancel)
    {
        string[] nodes = parsed.GetValue(_node) ?? [];
        string? etcd = parsed.GetValue(_etcd);
        if (nodes.Length > 0 == etcd is not null)
        {
            throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument, "config",
                "name the mesh by --node HOST:PORT, or by --etcd ENDPOINTS --cluster NAME"));
        }

        if (etcd is null && _etcdAccess.Given(parsed) is { } flag)
        {
            throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument, "config:etcd",
                $"{flag} is for --etcd; --node needs no etcd"));
        }

        MeshResult<MeshClient> client = await MeshClient.TryConnectAsync(
            new MeshClientOptions
            {
                Cluster = parsed.GetValue(_cluster)!,
                Nodes = nodes,
                Etcd = etcd,
                Transport = Flags.Transport(parsed, _transport),
                Rails = ServeSetting.Names(parsed.GetValue(_rails) ?? ""),
                EtcdAccess = _etcdAccess.Read(parsed, Environment.GetEnvironmentVariable),
                Secret = Flags.Secret(parsed, _secretFile),
                Deadline = Deadline(parsed),
            },
            cancel);
        return client.Value;
    }
}

/// <summary>Flags that several commands share.</summary>
internal static class Flags
{
    internal static Option<string> Transport() => new("--transport")
    {
        Description = "by what large objects travel: auto, tcp, shm or rdma",
        HelpName = "NAME",
        DefaultValueFactory = _ => "auto",
    };

    /// <summary>What the flag says.</summary>
    /// <exception cref="MeshException">Nothing that there is.</exception>
    internal static TransportChoice Transport(ParseResult parsed, Option<string> transport)
    {
        TransportChoice choice = ServeOptions.TransportOf(parsed.GetValue(transport)!);
        return Enum.IsDefined(choice) ? choice : throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument,
            "config:transport", $"--transport is '{parsed.GetValue(transport)}'; auto, tcp, shm and rdma are legal"));
    }

    internal static Option<string?> SecretFile() => new("--secret-file")
    {
        Description = $"file with the cluster secret (default: {Configuration.SecretFile.Variable})",
        HelpName = "FILE",
    };

    /// <summary>The cluster secret of the file that is named by flag or environment; null: none is.</summary>
    /// <exception cref="MeshException">The file cannot be used.</exception>
    internal static ClusterSecret? Secret(ParseResult parsed, Option<string?> secretFile) =>
        Configuration.SecretFile.Read(
            parsed.GetValue(secretFile) ?? Environment.GetEnvironmentVariable(Configuration.SecretFile.Variable),
            Environment.GetEnvironmentVariable).Value;

    internal static Option<bool> Json() => new("--json") { Description = "write the result as JSON" };

    internal static TextOption<long> Size(string name, string description, string standard) =>
        new(name, description, "SIZE", standard, Quantity.Size);

    internal static TextOption<TimeSpan> Duration(string name, string description, string standard) =>
        new(name, description, "TIME", standard, CallTime);

    private static TimeSpan CallTime(string text)
    {
        TimeSpan time = Quantity.Duration(text);
        return time > TimeSpan.Zero && time <= CallLimit.Longest
            ? time
            : throw new FormatException($"'{text}' is no time for a call; more than 0 and up to 24h are legal");
    }

    internal static Option<int> Count(string name, string description, int standard)
    {
        var option = new Option<int>(name)
        {
            Description = description,
            HelpName = "N",
            DefaultValueFactory = _ => standard,
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && int.TryParse(result.Tokens[0].Value, out int value) && value < 1)
                result.AddError($"{name}: {value} is not at least 1");
        });
        return option;
    }

    internal static TextOption<ObjectPin> PinFlag(string standard) =>
        new("--pin", "none, soft (evicted last for 30 minutes) or hard (never evicted)", "HOW", standard,
            text => text switch
            {
                "none" => ObjectPin.None,
                "soft" => ObjectPin.Soft,
                "hard" => ObjectPin.Hard,
                _ => throw new FormatException($"'{text}' is none of none, soft, hard"),
            });

    internal static TextOption<Placement> PlacementFlag(string standard) =>
        new("--placement", "local-first, spread or preferred", "HOW", standard, text => text switch
        {
            "local-first" => Placement.LocalFirst,
            "spread" => Placement.Spread,
            "preferred" => Placement.Preferred,
            _ => throw new FormatException($"'{text}' is none of local-first, spread, preferred"),
        });
}
