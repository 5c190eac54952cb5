// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.Security.Cryptography;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"put", "get", "exists" and "ls"; "rm" is <see cref="RemoveCommand"/>.</summary>
internal static class ObjectCommands
{
    internal static IEnumerable<Command> Create(Terminal terminal) =>
        [Put(terminal), Get(terminal), Exists(terminal), RemoveCommand.Create(terminal), List(terminal)];

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
        Option<bool> upsert = new("--upsert") { Description = "take the place of the value that the key has" };
        TextOption<ObjectPin> pin = Flags.PinFlag("none");
        Option<string> group = new("--group") { Description = "evict together with this group", HelpName = "NAME" };
        Option<bool> json = Flags.Json();
        var command = new Command("put", "Store a value. A key that has one keeps it, without --upsert.")
        {
            key, file, replicas, placement, preferred, upsert, pin, group, json,
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
                    Replace = parsed.GetValue(upsert),
                    Pin = pin.Read(parsed),
                    Group = parsed.GetValue(group) ?? "",
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
                terminal.WriteLine((outcome.Existed, outcome.Replicas) switch
                {
                    (true, 0) => $"{parsed.GetValue(key)} existed, kept",
                    (true, _) => $"{parsed.GetValue(key)} existed, {Copies(outcome.Replicas)} added",
                    _ => $"{parsed.GetValue(key)} stored, {value.Length} bytes, {Copies(outcome.Replicas)}",
                });
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
            MeshResult<byte[]> got = await client.TryGetAsync(new MeshKey(parsed.GetValue(key)!), options, cancel);
            if (got.Error is { Code: MeshErrorCode.NotFound } missing)
            {
                MeshCommand.Complain(terminal, missing.Stage, $"{parsed.GetValue(key)} not found");
                return ExitCode.NotFound;
            }

            byte[] value = got.Value;
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

    private static string Copies(int count) => count == 1 ? "1 copy" : $"{count} copies";

    private static Command Exists(Terminal terminal)
    {
        Argument<string[]> keys = new("keys") { Description = "names", Arity = ArgumentArity.OneOrMore };
        Option<bool> json = Flags.Json();
        var command = new Command("exists", "Ask whether keys have values.") { keys, json };
        var connection = new ConnectionFlags(command);
        command.SetAction(async (parsed, cancel) =>
        {
            await using MeshClient client = await connection.ConnectAsync(parsed, cancel);
            return await EachKeyAsync(terminal, parsed.GetValue(keys)!, parsed.GetValue(json), "exists",
                key => client.TryExistsAsync(key, cancel));
        });
        return command;
    }

    /// <summary>Asks of each key, one line each; not found when one is not there.</summary>
    internal static async Task<int> EachKeyAsync(Terminal terminal, IEnumerable<string> keys, bool json, string field,
        Func<MeshKey, Task<MeshResult<bool>>> call)
    {
        int code = ExitCode.Ok;
        foreach (string key in keys)
        {
            MeshResult<bool> result = await call(new MeshKey(key));
            bool found = result.Error is not { Code: MeshErrorCode.NotFound } && result.Value;
            code = found ? code : ExitCode.NotFound;
            if (json)
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
    }

    private static Command List(Terminal terminal)
    {
        Argument<string> prefix = new("prefix")
        {
            Description = "first characters of the names",
            DefaultValueFactory = _ => "",
        };
        Option<bool> json = Flags.Json();
        var command = new Command("ls", "List objects: size, nodes, key.") { prefix, json };
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
                        fields.WriteStartArray("nodes");
                        foreach (string node in item.Nodes)
                            fields.WriteStringValue(node);
                        fields.WriteEndArray();
                    });
                }
                else
                {
                    terminal.WriteLine($"{item.Size,12} {string.Join(',', item.Nodes)} {item.Key}");
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
