// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.House;

/// <summary>The repository tree, found from the test assembly upward.</summary>
internal static class Repository
{
    internal static string Root { get; } = FindRoot();

    /// <summary>Tracked and addable files, relative to the root, ordered; without git, all but builds.</summary>
    internal static IReadOnlyList<string> Files { get; } = ListFiles();

    internal static IEnumerable<string> SourceFiles =>
        Files.Where(file => file.EndsWith(".cs", StringComparison.Ordinal));

    internal static string Read(string file) => File.ReadAllText(Path.Combine(Root, file));

    internal static string[] Lines(string file) => File.ReadAllLines(Path.Combine(Root, file));

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Mooncake.Mesh.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException($"no Mooncake.Mesh.sln above {AppContext.BaseDirectory}");
    }

    private static List<string> ListFiles()
    {
        IEnumerable<string> files = ListWithGit() ?? ListWithoutGit();
        return [.. files.Where(file => File.Exists(Path.Combine(Root, file))).Order(StringComparer.Ordinal)];
    }

    private static string[]? ListWithGit()
    {
        try
        {
            string[] arguments = ["-C", Root, "ls-files", "--cached", "--others", "--exclude-standard"];
            using Process git = Process.Start(new ProcessStartInfo("git", arguments)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            string output = git.StandardOutput.ReadToEnd();
            git.WaitForExit();
            return git.ExitCode == 0 ? output.Split('\n', StringSplitOptions.RemoveEmptyEntries) : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    private static IEnumerable<string> ListWithoutGit() =>
        Directory.EnumerateFiles(Root, "*", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Root, path))
            .Where(file => !file.Split('/').Any(part => part is "bin" or "obj" or ".git" or "TestResults"));
}
