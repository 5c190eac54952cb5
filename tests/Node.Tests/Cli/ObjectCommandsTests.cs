// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Serve;

namespace Mooncake.Mesh.Node.Tests.Cli;

/// <summary>Commands on objects, against a small mesh.</summary>
public sealed class ObjectCommandsTests
{
    [Fact]
    public async Task Values_are_put_replaced_listed_and_removed()
    {
        await using DevMesh mesh = await DevMesh.StartAsync(
            2, 4 << 20, NullLoggerFactory.Instance, TestContext.Current.CancellationToken);
        string node = mesh.Nodes[0].Endpoint;

        Assert.Equal("k/1 stored, 5 bytes, 2 copies\n", await OkAsync("first", "put", "k/1", "--replicas", "2"));
        Assert.Equal("k/1 existed, kept\n", await OkAsync("other", "put", "k/1"));
        Assert.Equal("first", await OkAsync("", "get", "k/1"));
        Assert.Equal("k/1 stored, 6 bytes, 1 copy\n", await OkAsync("second", "put", "k/1", "--upsert", "--pin",
            "soft", "--group", "g"));
        Assert.Equal("k/1 existed, 1 copy added\n", await OkAsync("second", "put", "k/1", "--replicas", "2"));
        Assert.Equal("second", await OkAsync("", "get", "k/1"));
        Assert.Equal("           6 dev-0,dev-1 k/1\n", await OkAsync("", "ls", "k/"));
        Assert.Contains("""{"key":"k/1","size":6,"nodes":["dev-0","dev-1"]}""", await OkAsync("", "ls", "--json"));

        await OkAsync("x", "put", "k/22");
        await OkAsync("x", "put", "other");
        Assert.Equal("1 removed\n", await OkAsync("", "rm", "--regex", "^k/[0-9]$"));
        Assert.Equal("""{"pattern":"nothing","removed":0}""",
            (await OkAsync("", "rm", "--regex", "nothing", "--json")).TrimEnd());
        Assert.Equal("k/22 removed\n", await OkAsync("", "rm", "k/22"));
        Assert.Equal("everything removed on 2 nodes\n", await OkAsync("", "rm", "--all"));
        Assert.Equal("", await OkAsync("", "ls"));

        var terminal = new TestTerminal();
        Assert.Equal(ExitCode.Refused,
            await terminal.RunAsync("rm", "--regex", "(", "--node", node));
        Assert.Matches(@"^mooncake-mesh: pattern: pattern '\(' is no regular expression", terminal.Error);

        async Task<string> OkAsync(string input, params string[] args)
        {
            var terminal = new TestTerminal(Encoding.UTF8.GetBytes(input));
            int code = await terminal.RunAsync(
                [.. args, "--node", node, "--deadline", "20s"]);
            Assert.True(code == ExitCode.Ok, $"{string.Join(' ', args)}: {terminal.Error}");
            return terminal.Output;
        }
    }
}
