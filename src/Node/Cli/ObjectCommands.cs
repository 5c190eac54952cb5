// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.Security.Cryptography;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"put", "get", "exists", "rm" and "ls".</summary>
internal static class ObjectCommands
{
    internal static IEnumerable<Command> Create(Terminal terminal) =>
        [Put(terminal), Get(terminal), Exists(terminal), Remove(terminal), List(terminal)];

    private static Command Put(Terminal terminal)
    {
        Argument<string> key = new("key") { Description = "name of the object" };
        Argument<string> file = new("file")
        {
            Description = "file to store; -: standard input",
            DefaultValueFactory = _ => "-",
        };
        Option<int> replicas = Flags.Count("--replicas", "copies wanted", 1);
        TextOption<Placement> placement = Flags.PlacementFlag("local-first");
        Option<string> preferred = new("--preferred-node") { Description = "node that 'preferred' prefers" };
        Option<bool> json = Flags.Json();
        var command = new Command("put", "Store a value. A key that has one keeps it.")
        {
            key, file, replicas, placement, preferred, json,
        };
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            byte[] value = await ReadAsync(terminal, parsed.GetValue(file)!, cancel);
            await using MeshClient client = await connection.ConnectAsync(parsed, cancel);
            MeshResult<PutOutcome> put = await client.TryPutAsync(
                new MeshKey(parsed.GetValue(key)!), value,
                new PutOptions
                {
                    Placement = placement.Read(parsed),
                    PreferredNode = parsed.GetValue(preferred) ?? "",
                    Replicas = parsed.GetValue(replicas),
                    Deadline = connection.GivenDeadline(parsed),
                },
                cancel);
            PutOutcome outcome = put.Value;
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(fields =>
                {
                    fields.WriteString("key", parsed.GetValue(key));
                    fields.WriteNumber("size", value.Length);
                    fields.WriteBoolean("existed", outcome.Existed);
                    fields.WriteString("version", outcome.Version.ToString());
                    fields.WriteNumber("replicas", outcome.Replicas);
                });
            }
            else
            {
                terminal.WriteLine(outcome.Existed
                    ? $"{parsed.GetValue(key)} existed, kept"
                    : $"{parsed.GetValue(key)} stored, {value.Length} bytes, {outcome.Replicas} copies");
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Get(Terminal terminal)
    {
        Argument<string> key = new("key") { Description = "name of the object" };
        Option<string?> file = new("--output", "-o")
        {
            Description = "file to write; without it: standard output",
            HelpName = "FILE",
        };
        Option<bool> json = Flags.Json();
        var command = new Command("get", "Fetch a value.") { key, file, json };
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            await using MeshClient client = await connection.ConnectAsync(parsed, cancel);
            var options = new GetOptions { Deadline = connection.GivenDeadline(parsed) };
            byte[] value = (await client.TryGetAsync(new MeshKey(parsed.GetValue(key)!), options, cancel)).Value;
            string? path = parsed.GetValue(file);
            if (path is not null)
                await WriteAsync(path, value, cancel);
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(fields =>
                {
                    fields.WriteString("key", parsed.GetValue(key));
                    fields.WriteNumber("size", value.Length);
                    fields.WriteString("sha256", Convert.ToHexStringLower(SHA256.HashData(value)));
                    if (path is null)
                        fields.WriteBase64String("value", value);
                    else
                        fields.WriteString("file", path);
                });
            }
            else if (path is null)
            {
                terminal.Write(value);
            }
            else
            {
                terminal.WriteLine($"{parsed.GetValue(key)} {value.Length} bytes to {path}");
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Exists(Terminal terminal) => EachKey(terminal, "exists", "Ask whether keys have values.",
        "exists", (client, key, cancel) => client.TryExistsAsync(key, cancel));

    private static Command Remove(Terminal terminal) => EachKey(terminal, "rm", "Remove values.",
        "removed", (client, key, cancel) => client.TryRemoveAsync(key, cancel));

    private static Command EachKey(Terminal terminal, string name, string description, string field,
        Func<MeshClient, MeshKey, CancellationToken, Task<MeshResult<bool>>> call)
    {
        Argument<string[]> keys = new("keys") { Description = "names", Arity = ArgumentArity.OneOrMore };
        Option<bool> json = Flags.Json();
        var command = new Command(name, description) { keys, json };
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            await using MeshClient client = await connection.ConnectAsync(parsed, cancel);
            int code = ExitCode.Ok;
            foreach (string key in parsed.GetValue(keys)!)
            {
                MeshResult<bool> result = await call(client, new MeshKey(key), cancel);
                bool found = result.Error is not { Code: MeshErrorCode.NotFound } && result.Value;
                code = found ? code : ExitCode.NotFound;
                if (parsed.GetValue(json))
                {
                    terminal.WriteJson(fields =>
                    {
                        fields.WriteString("key", key);
                        fields.WriteBoolean(field, found);
                    });
                }
                else
                {
                    terminal.WriteLine(found ? $"{key} {field}" : $"{key} not found");
                }
            }

            return code;
        });
        return command;
    }

    private static Command List(Terminal terminal)
    {
        Argument<string> prefix = new("prefix")
        {
            Description = "first characters of the names",
            DefaultValueFactory = _ => "",
        };
        Option<bool> json = Flags.Json();
        var command = new Command("ls", "List objects: size, node, key.") { prefix, json };
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            await using MeshClient client = await connection.ConnectAsync(parsed, cancel);
            int code = ExitCode.Ok;
            await foreach (MeshResult<ListedObject> listed in client.ListAsync(parsed.GetValue(prefix)!, cancel))
            {
                if (listed.Error is { } error)
                {
                    MeshCommand.Complain(terminal, error.Stage, error.Message);
                    code = ExitCode.Refused;
                    continue;
                }

                ListedObject item = listed.Value;
                if (parsed.GetValue(json))
                {
                    terminal.WriteJson(fields =>
                    {
                        fields.WriteString("key", item.Key.ToString());
                        fields.WriteNumber("size", item.Size);
                        fields.WriteString("nodeId", item.NodeId);
                    });
                }
                else
                {
                    terminal.WriteLine($"{item.Size,12} {item.NodeId} {item.Key}");
                }
            }

            return code;
        });
        return command;
    }

    private static async Task<byte[]> ReadAsync(Terminal terminal, string file, CancellationToken cancel)
    {
        try
        {
            if (file != "-")
                return await File.ReadAllBytesAsync(file, cancel);
            using var buffer = new MemoryStream();
            await terminal.Input.CopyToAsync(buffer, cancel);
            return buffer.ToArray();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MeshException(new MeshError(MeshErrorCode.System, "file", e.Message));
        }
    }

    private static async Task WriteAsync(string file, byte[] value, CancellationToken cancel)
    {
        try
        {
            await File.WriteAllBytesAsync(file, value, cancel);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MeshException(new MeshError(MeshErrorCode.System, "file", e.Message));
        }
    }
}
