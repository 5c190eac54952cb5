// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Mooncake.Mesh.TestSupport;

/// <summary>Builds a test double of a native library with gcc, into a folder that goes with the object.</summary>
internal sealed class NativeDouble : IDisposable
{
    private readonly string _folder = System.IO.Directory.CreateTempSubdirectory("mooncake-mesh-double-").FullName;

    /// <summary>Compiles <paramref name="source"/>, a C file beside the test, with the given definitions.</summary>
    internal string Build(string source, string definitions = "", [CallerFilePath] string test = "")
    {
        string library = Path.Combine(_folder, $"double-{System.IO.Directory.GetFiles(_folder).Length}.so");
        var start = new ProcessStartInfo("gcc") { RedirectStandardError = true, UseShellExecute = false };
        foreach (string argument in (string[])["-shared", "-fPIC", "-O0", "-o", library])
            start.ArgumentList.Add(argument);
        foreach (string definition in definitions.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            start.ArgumentList.Add("-D" + definition);
        start.ArgumentList.Add(Path.Combine(Path.GetDirectoryName(test)!, source));

        using Process gcc = Start(start);
        string errors = gcc.StandardError.ReadToEnd();
        gcc.WaitForExit();
        Assert.True(gcc.ExitCode == 0, errors);
        return library;
    }

    /// <summary>An empty file: there, and no library.</summary>
    internal string BuildGarbage()
    {
        string path = Path.Combine(_folder, "garbage.so");
        File.WriteAllText(path, "no library");
        return path;
    }

    public void Dispose() => System.IO.Directory.Delete(_folder, recursive: true);

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
