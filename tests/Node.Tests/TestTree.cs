// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Node.Cli;

namespace Mooncake.Mesh.Node.Tests;

/// <summary>The repository's files, for tests that compare them with the code.</summary>
internal static class TestTree
{
    internal static string Root { get; } = Find();

    private static string Find()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Mooncake.Mesh.sln")))
            folder = folder.Parent!;
        return folder.FullName;
    }
}

/// <summary>Streams in memory in place of the process's own.</summary>
internal sealed class TestTerminal
{
    private readonly MemoryStream _output = new();
    private readonly StringWriter _error = new();

    internal TestTerminal(byte[]? input = null) => Terminal = new Terminal(
        new MemoryStream(input ?? []), _output, TextWriter.Synchronized(_error), Environment.GetValueOrDefault);

    internal Terminal Terminal { get; }

    internal Dictionary<string, string> Environment { get; } = [];

    internal string Output => Encoding.UTF8.GetString(_output.ToArray());

    internal string Error
    {
        get
        {
            lock (Terminal.Error)
                return _error.ToString();
        }
    }

    internal Task<int> RunAsync(params string[] args) => MeshCommand.RunAsync(args, Terminal);
}
