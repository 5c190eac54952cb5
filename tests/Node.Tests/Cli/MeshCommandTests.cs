// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Tests.Cli;

public sealed class MeshCommandTests
{
    private readonly TestTerminal _terminal = new();

    [Theory]
    [InlineData("serve")]
    [InlineData("dev")]
    [InlineData("status")]
    [InlineData("put")]
    [InlineData("get")]
    [InlineData("exists")]
    [InlineData("rm")]
    [InlineData("ls")]
    [InlineData("replay")]
    [InlineData("demo")]
    [InlineData("doctor")]
    [InlineData("config")]
    [InlineData("version")]
    public async Task Help_has_examples_of_the_command_and_the_exit_codes(string command)
    {
        Assert.Equal(ExitCode.Ok, await _terminal.RunAsync(command, "--help"));
        Assert.Contains("Examples:", _terminal.Output);
        Assert.Contains($"mooncake-mesh {command}", _terminal.Output[_terminal.Output.IndexOf("Examples:")..]);
        if (command != "config")
            Assert.Contains("--json", _terminal.Output);
        Assert.Contains("Exit codes: 0 ok, 1 refused, 2 usage, 3 not found.", _terminal.Output);
        Assert.Empty(_terminal.Error);
    }

    [Fact]
    public async Task Help_lists_every_command()
    {
        Assert.Equal(ExitCode.Ok, await _terminal.RunAsync("--help"));
        Assert.All(
            ["serve", "dev", "status", "put", "get", "exists", "rm", "ls", "replay", "demo", "doctor",
                "config", "version"],
            command => Assert.Contains($"\n  {command} ", _terminal.Output));
        Assert.Contains("Examples:", _terminal.Output);
    }

    [Fact]
    public async Task Help_of_serve_shows_every_flag()
    {
        await _terminal.RunAsync("serve", "--help");
        Assert.All(ServeSetting.All, setting => Assert.Contains($"{setting.Flag} ", _terminal.Output));
    }

    [Theory]
    [InlineData("status")]
    [InlineData("put")]
    [InlineData("rm")]
    [InlineData("replay")]
    public async Task Help_of_client_commands_has_the_etcd_flags_of_serve(string command)
    {
        await _terminal.RunAsync(command, "--help");
        Assert.All(["--etcd-user", "--etcd-password-file", "--etcd-ca", "--etcd-cert", "--etcd-key"],
            flag => Assert.Contains($"{flag} <", _terminal.Output));
    }

    [Theory]
    [InlineData("--node needs no etcd", "--node", "a:1", "--etcd-user", "u")]
    [InlineData("needs either a password or a password file", "--etcd", "a:1", "--etcd-user", "u")]
    [InlineData("a password is given without a user", "--etcd", "a:1", "--etcd-password-file", "/nonexistent/p")]
    [InlineData("are not https", "--etcd", "http://a:1", "--etcd-ca", "/nonexistent/ca")]
    [InlineData("both its certificate file and its key file", "--etcd", "https://a:1", "--etcd-cert", "/nonexistent/c")]
    [InlineData("/nonexistent/ca", "--etcd", "https://a:1", "--etcd-ca", "/nonexistent/ca")]
    [InlineData("/nonexistent/p", "--etcd", "a:1", "--etcd-user", "u", "--etcd-password-file", "/nonexistent/p")]
    public async Task Wrong_etcd_flags_say_what_is_wrong(string reason, params string[] flags)
    {
        Assert.Equal(ExitCode.Usage, await _terminal.RunAsync(["get", "k", .. flags]));
        AssertOneLine();
        Assert.Contains(reason, _terminal.Error);
    }

    [Theory]
    [InlineData("0s")]
    [InlineData("25h")]
    public async Task A_deadline_that_is_none_is_refused_with_its_limit(string deadline)
    {
        Assert.Equal(ExitCode.Usage, await _terminal.RunAsync("get", "k", "--node", "a:1", "--deadline", deadline));
        AssertOneLine();
        Assert.Contains($"--deadline: '{deadline}' is no time for a call; more than 0 and up to 24h are legal",
            _terminal.Error);
    }

    [Theory]
    [InlineData("fly")]
    [InlineData("get")]
    [InlineData("get", "k", "--node")]
    [InlineData("get", "k")]
    [InlineData("get", "k", "--node", "a:1", "--etcd", "b:2")]
    [InlineData("rm", "--node", "a:1")]
    [InlineData("rm", "k", "--all", "--node", "a:1")]
    [InlineData("rm", "--regex", "x", "--all", "--node", "a:1")]
    [InlineData("put", "k", "f", "--pin", "firmly", "--node", "a:1")]
    [InlineData("replay", "t", "--node", "a:1", "--dev", "3")]
    [InlineData("replay", "t", "--dev", "3", "--block-size", "4KB")]
    [InlineData("replay", "t", "--dev", "3", "--block-size", "0")]
    [InlineData("replay", "t", "--dev", "3", "--concurrency", "0")]
    [InlineData("replay", "t", "--dev", "3", "--speed", "fast")]
    [InlineData("replay", "t", "--dev", "3", "--placement", "anywhere")]
    [InlineData("demo", "--kill", "1")]
    [InlineData("serve")]
    [InlineData("serve", "--config", "/nonexistent/c.json")]
    [InlineData("serve", "--etcd-endpoints", "127.0.0.1:2379", "--listen", "10.0.0.1:1")]
    public async Task Wrong_usage_is_one_line_and_exit_code_2(params string[] args)
    {
        Assert.Equal(ExitCode.Usage, await _terminal.RunAsync(args));
        Assert.Empty(_terminal.Output);
        AssertOneLine();
    }

    [Theory]
    [InlineData("'fly' is no command", "fly")]
    [InlineData("name a command", "bench")]
    [InlineData("'nothing' is no command", "bench", "nothing")]
    [InlineData("'--bogus' is no flag", "ls", "--bogus", "--node", "a:1")]
    [InlineData("'--bogus' is no flag", "get", "--bogus", "--node", "a:1")]
    [InlineData("'-x' is no flag", "rm", "k", "-x", "--node", "a:1")]
    [InlineData("'--nod' is no flag", "get", "k", "--nod", "a:1")]
    [InlineData("has no port", "get", "k", "--node", "127.0.0.1")]
    public async Task What_was_mistyped_is_named(string reason, params string[] args)
    {
        Assert.Equal(ExitCode.Usage, await _terminal.RunAsync(args));
        AssertOneLine();
        Assert.Contains(reason, _terminal.Error);
    }

    [Theory]
    [InlineData("get", "--node", "127.0.0.1:1", "--", "--bogus")]
    [InlineData("put", "k", "-", "--node", "127.0.0.1:1")]
    public async Task Names_that_look_like_flags_can_be_written(params string[] args) =>
        Assert.Equal(ExitCode.Refused, await _terminal.RunAsync(args));

    [Fact]
    public async Task An_unreachable_mesh_is_one_line_and_exit_code_1()
    {
        Assert.Equal(ExitCode.Refused, await _terminal.RunAsync("get", "k", "--node", "127.0.0.1:1"));
        AssertOneLine();
    }

    [Fact]
    public async Task A_missing_trace_is_one_line_and_exit_code_1()
    {
        Assert.Equal(ExitCode.Refused, await _terminal.RunAsync("replay", "/nonexistent/t", "--dev", "1"));
        AssertOneLine();
        Assert.Contains("/nonexistent/t", _terminal.Error);
    }

    [Theory]
    [InlineData(MeshErrorCode.NotFound, "get", ExitCode.NotFound)]
    [InlineData(MeshErrorCode.InvalidArgument, "config", ExitCode.Usage)]
    [InlineData(MeshErrorCode.InvalidArgument, "config:listen", ExitCode.Usage)]
    [InlineData(MeshErrorCode.InvalidKey, "key", ExitCode.Refused)]
    [InlineData(MeshErrorCode.NodeIdInUse, "register", ExitCode.Refused)]
    public void Codes(MeshErrorCode code, string stage, int exit) =>
        Assert.Equal(exit, ExitCode.Of(new MeshError(code, stage, "x")));

    [Fact]
    public async Task Version_says_why_hardware_is_not_used()
    {
        Assert.Equal(ExitCode.Ok, await _terminal.RunAsync("version", "--json"));
        JsonElement version = JsonDocument.Parse(_terminal.Output).RootElement;
        Assert.Equal(VersionCommand.Version, version.GetProperty("version").GetString());
        Assert.NotEmpty(version.GetProperty("verbs").GetString()!);
        Assert.NotEmpty(version.GetProperty("cuda").GetString()!);
    }

    [Fact]
    public async Task The_version_flag_is_one_line()
    {
        Assert.Equal(ExitCode.Ok, await _terminal.RunAsync("--version"));
        Assert.Equal($"mooncake-mesh {VersionCommand.Version}\n", _terminal.Output);
    }

    [Theory]
    [InlineData("""{ "etcd": { "endpoints": "127.0.0.1:2379" } }""", null)]
    [InlineData("""{ "etcd": { "endpoints": "127.0.0.1:2379" }, "listen": "10.0.0.1:1" }""", "no cluster secret")]
    [InlineData("""{ "etcd": { "endpoints": "" } }""", "etcd.endpoints: none given")]
    [InlineData("""{ "etc": {} }""", "unknown field 'etc'")]
    public async Task Config_check_says_what_serve_would_say(string file, string? wrong)
    {
        string path = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(path, file);
            int code = await _terminal.RunAsync("config", "check", path);
            Assert.Equal(wrong is null ? ExitCode.Ok : ExitCode.Usage, code);
            Assert.Equal(wrong is null ? $"{path}: ok\n" : "", _terminal.Output);
            if (wrong is null)
                return;
            AssertOneLine();
            Assert.Contains(wrong, _terminal.Error);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task The_installed_configuration_lacks_its_etcd_alone()
    {
        string file = Path.Combine(TestTree.Root, "packaging/linux/config.json");
        Assert.Equal(ExitCode.Usage, await _terminal.RunAsync("config", "check", file));
        AssertOneLine();
        Assert.Contains("etcd.endpoints: none given", _terminal.Error);
        _terminal.Environment["MOONCAKE_MESH_ETCD_ENDPOINTS"] = "127.0.0.1:2379";
        Assert.Equal(ExitCode.Ok, await _terminal.RunAsync("config", "check", file, "--json"));
        ServeOptions options = ServeOptionsLoader.ReadFile(file).Value;
        Assert.Equal(("127.0.0.1:12700", "127.0.0.1:12701"), (options.Listen, options.Admin));
    }

    [Fact]
    public void Json_leaves_have_their_paths()
    {
        using var json = JsonDocument.Parse("""{"a":{"b":[1,{"c":"x"}]},"d":true}""");
        Assert.Equal([("a.b[0]", "1"), ("a.b[1].c", "x"), ("d", "true")],
            StatusCommand.Flatten("", json.RootElement));
    }

    private void AssertOneLine()
    {
        string line = Assert.Single(_terminal.Error.TrimEnd('\n').Split('\n'));
        Assert.Matches("^mooncake-mesh: [a-z:.]+: .+", line);
    }
}
