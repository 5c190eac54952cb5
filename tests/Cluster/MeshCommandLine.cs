// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Cluster;

/// <summary>What one run of the command left.</summary>
internal sealed record CommandResult(int ExitCode, string Output, string Error)
{
    public string[] ErrorLines => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>Runs the built "mooncake-mesh" as its users do.</summary>
internal static class MeshCommandLine
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    /// <summary>The executable of this build: src/Node's, of the configuration that this test was built in.</summary>
    public static string Executable { get; } = Find();

    /// <summary>Runs one command to its end.</summary>
    public static async Task<CommandResult> RunAsync(params string[] arguments)
    {
        using var process = Process.Start(StartInfo(arguments))!;
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            Assert.Fail($"'{string.Join(' ', arguments)}' did not end: {await error}");
        }

        return new CommandResult(process.ExitCode, await output, await error);
    }

    /// <summary>Runs one command that must succeed; its output.</summary>
    public static async Task<string> OutputAsync(params string[] arguments)
    {
        var result = await RunAsync(arguments);
        Assert.True(result.ExitCode == 0, $"'{string.Join(' ', arguments)}': {result.ExitCode} {result.Error}");
        return result.Output;
    }

    public static ProcessStartInfo StartInfo(params string[] arguments)
    {
        var start = new ProcessStartInfo(Executable, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string name in start.Environment.Keys.Where(IsSetting).ToArray())
            start.Environment.Remove(name);
        // Less to compile: the nodes of a test live for seconds.
        start.Environment["DOTNET_TieredPGO"] = "0";
        return start;
    }

    private static bool IsSetting(string name) =>
        name.StartsWith("MOONCAKE_MESH_", StringComparison.Ordinal) || name == "NOTIFY_SOCKET";

    private static string Find()
    {
        if (Environment.GetEnvironmentVariable("MESH_TEST_PROGRAM") is { Length: > 0 } published)
        {
            Assert.True(File.Exists(published), $"MESH_TEST_PROGRAM is {published}, which is not there");
            return Path.GetFullPath(published);
        }

        // tests/Cluster/bin/CONFIGURATION/FRAMEWORK/ -> src/Node/bin/CONFIGURATION/FRAMEWORK/
        var framework = new DirectoryInfo(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));
        var root = framework;
        while (!File.Exists(Path.Combine(root.FullName, "Mooncake.Mesh.sln")))
            root = root.Parent!;
        string path = Path.Combine(
            root.FullName, "src", "Node", "bin", framework.Parent!.Name, framework.Name, "mooncake-mesh");
        Assert.True(File.Exists(path), $"{path} has not been built");
        return path;
    }
}
