// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Mooncake.Mesh.TestSupport;

/// <summary>Builds a test double of a native library with gcc, into a folder that goes with the object.</summary>
internal sealed class NativeDouble : IDisposable
{
    private readonly string _folder = System.IO.Directory.CreateTempSubdirectory("mooncake-mesh-double-").FullName;

    /// <summary>Compiles a C file with the given definitions.</summary>
    /// <param name="source">The file, named from the caller's folder.</param>
    /// <param name="definitions">What to define, with spaces between.</param>
    /// <param name="options">What else to tell the compiler, with spaces between.</param>
    /// <param name="test">The caller.</param>
    internal string Build(
        string source, string definitions = "", string options = "", [CallerFilePath] string test = "")
    {
        string library = Path.Combine(_folder, $"double-{System.IO.Directory.GetFiles(_folder).Length}.so");
        List<string> arguments =
            ["-shared", "-fPIC", "-O0", "-pthread", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        arguments.AddRange(["-o", library]);
        foreach (string definition in definitions.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            arguments.Add("-D" + definition);
        arguments.Add(Path.Combine(Path.GetDirectoryName(test)!, source));
        string? errors = Compile(arguments);
        Assert.True(errors is null, errors);
        return library;
    }

    /// <summary>What the compiler says against a C program; null when it is content.</summary>
    internal string? Check(string program)
    {
        string file = Path.Combine(_folder, "program.c");
        File.WriteAllText(file, program);
        return Compile(["-fsyntax-only", file]);
    }

    /// <summary>An empty file: there, and no library.</summary>
    internal string BuildGarbage()
    {
        string path = Path.Combine(_folder, "garbage.so");
        File.WriteAllText(path, "no library");
        return path;
    }

    public void Dispose() => System.IO.Directory.Delete(_folder, recursive: true);

    private static string? Compile(IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo("gcc", arguments) { RedirectStandardError = true, UseShellExecute = false };
        using Process gcc = Start(start);
        string errors = gcc.StandardError.ReadToEnd();
        gcc.WaitForExit();
        return gcc.ExitCode == 0 ? null : errors;
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("gcc is not installed");
            throw;
        }
    }
}
