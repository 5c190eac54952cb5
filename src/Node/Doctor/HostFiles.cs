// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Reads the small files by which a kernel tells of itself. What cannot be read is empty.</summary>
/// <param name="root">"/", or a folder with proc, sys and dev in it.</param>
internal sealed class HostFiles(string root)
{
    /// <summary>A file's text without white space around it; empty: it cannot be read.</summary>
    internal string Text(string path)
    {
        try
        {
            return File.ReadAllText(PathOf(path)).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    /// <summary>A file's number; null: it has none.</summary>
    internal long? Number(string path) =>
        long.TryParse(Text(path), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
            ? number
            : null;

    /// <summary>The words behind <paramref name="label"/> in the first line that has it; none: no line has.</summary>
    internal string[] Line(string path, string label)
    {
        foreach (string line in Text(path).Split('\n'))
        {
            int at = line.IndexOf(label, StringComparison.Ordinal);
            if (at >= 0)
                return line[(at + label.Length)..].Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
        }

        return [];
    }

    /// <summary>Names in a folder, in order; none: there is no such folder.</summary>
    internal string[] Names(string folder) => System.IO.Directory.Exists(PathOf(folder))
        ? [.. new DirectoryInfo(PathOf(folder)).GetFileSystemInfos().Select(i => i.Name).Order(StringComparer.Ordinal)]
        : [];

    /// <summary>Whether there is a file or folder.</summary>
    internal bool Exists(string path) => Path.Exists(PathOf(path));

    /// <summary>Whether a device file can be used.</summary>
    internal DeviceAccess Access(string path)
    {
        if (!Exists(path))
            return DeviceAccess.Missing;
        try
        {
            File.OpenHandle(PathOf(path), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite).Dispose();
            return DeviceAccess.Opens;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return DeviceAccess.Refused;
        }
    }

    private string PathOf(string path) => Path.Combine(root, path);
}
