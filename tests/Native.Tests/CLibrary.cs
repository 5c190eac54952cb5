// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Mooncake.Mesh.Native.Tests;

/// <summary>
/// The C library as it is installed, built once: by ./test.sh, which names the folder in MOONCAKE_MESH_CLIB, or here.
/// And programs of c/ compiled against it.
/// </summary>
public sealed class CLibrary : IDisposable
{
    private static readonly TimeSpan BuildLimit = TimeSpan.FromMinutes(8);
    private readonly string _folder = System.IO.Directory.CreateTempSubdirectory("mesh-native-").FullName;
    private int _programs;

    public CLibrary()
    {
        if (Environment.GetEnvironmentVariable("MOONCAKE_MESH_CLIB") is { Length: > 0 } built)
        {
            Root = built;
            return;
        }

        Root = Path.Combine(_folder, "built");
        var made = Command.Run(BuildLimit, Path.Combine(Source(), "../../packaging/clib/build.sh"), Root);
        Assert.True(made.Code == 0, made.Output);
    }

    /// <summary>What was installed: lib/ and include/.</summary>
    public string Root { get; }

    public string Folder => _folder;

    public string Library => Path.Combine(Root, "lib/libmooncake_mesh.so.0");

    public string Include => Path.Combine(Root, "include");

    /// <summary>Compiles a program of c/ against one of the names of the library; its path.</summary>
    public string Build(string source, string link = "mooncake_mesh", params string[] flags)
    {
        string program = Path.Combine(_folder, $"{Path.GetFileNameWithoutExtension(source)}-{_programs++}");
        string[] language = source.EndsWith(".cc", StringComparison.Ordinal)
            ? ["g++", "-std=c++17"]
            : ["gcc", "-std=c11", "-D_GNU_SOURCE"];
        string lib = Path.Combine(Root, "lib");
        string[] all =
        [
            .. language[1..], "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", Include, .. flags, "-o",
            program, Path.Combine(Source(), "c", source), "-L", lib, $"-l{link}", $"-Wl,-rpath,{lib}",
        ];
        var made = Command.Run(TimeSpan.FromMinutes(2), language[0], all);
        Assert.True(made.Code == 0, made.Output);
        return program;
    }

    public void Dispose() => System.IO.Directory.Delete(_folder, recursive: true);

    private static string Source([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}

/// <summary>How a program ended, and what it wrote.</summary>
/// <param name="Code">Exit status; 128 and the signal's number when a signal ended it.</param>
/// <param name="Output">Standard output and error together.</param>
/// <param name="Standard">Standard output alone.</param>
internal sealed record Ended(int Code, string Output, string Standard);

/// <summary>Runs programs.</summary>
internal static class Command
{
    public static Ended Run(TimeSpan limit, string program, params string[] arguments) =>
        Run(limit, [], program, arguments);

    public static Ended Run(TimeSpan limit, Dictionary<string, string> environment, string program,
        params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(limit))
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
            Assert.Fail($"{program} {string.Join(' ', arguments)}: no end in {limit.TotalSeconds} s\n"
                + $"{output.Result}{errors.Result}");
        }

        process.WaitForExit();
        return new Ended(process.ExitCode, output.Result + errors.Result, output.Result);
    }
}
