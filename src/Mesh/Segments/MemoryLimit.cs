// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Segments;

/// <summary>How much memory this process may still take, and who says so.</summary>
/// <param name="Bytes">The bound in bytes.</param>
/// <param name="Source">Where it comes from, for the message.</param>
internal readonly record struct MemoryLimit(long Bytes, string Source)
{
    private const string CgroupRoot = "/sys/fs/cgroup";

    /// <summary>
    /// The smallest of MemAvailable and the memory.max of this process's cgroup (v2) and its parents. Memory of a
    /// memfd is only taken when touched, so a segment that is too large would start well and be killed hours later.
    /// </summary>
    public static MemoryLimit Read()
    {
        var limit = new MemoryLimit(long.MaxValue, "none");
        if (TryReadMemAvailable(ReadText("/proc/meminfo"), out long available))
            limit = new MemoryLimit(available, "MemAvailable in /proc/meminfo");
        for (string? path = CgroupPath(ReadText("/proc/self/cgroup")); path is not null; path = Parent(path))
        {
            string file = CgroupRoot + (path == "/" ? "" : path) + "/memory.max";
            if (long.TryParse(ReadText(file).AsSpan().Trim(), NumberStyles.None, CultureInfo.InvariantCulture,
                    out long max) && max < limit.Bytes)
                limit = new MemoryLimit(max, file);
        }

        return limit;
    }

    /// <summary>Bytes of "MemAvailable: N kB" in <paramref name="meminfo"/>.</summary>
    public static bool TryReadMemAvailable(string meminfo, out long bytes)
    {
        const string Label = "MemAvailable:";
        bytes = 0;
        foreach (ReadOnlySpan<char> line in meminfo.AsSpan().EnumerateLines())
        {
            if (!line.StartsWith(Label, StringComparison.Ordinal))
                continue;
            ReadOnlySpan<char> value = line[Label.Length..].Trim();
            int space = value.IndexOf(' ');
            if (space > 0 && long.TryParse(value[..space], NumberStyles.None, CultureInfo.InvariantCulture, out long kib))
            {
                bytes = kib * 1024;
                return true;
            }
        }

        return false;
    }

    /// <summary>The path of the v2 cgroup ("0::/path") in the text of /proc/self/cgroup, or null.</summary>
    public static string? CgroupPath(string text)
    {
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            if (line.StartsWith("0::/", StringComparison.Ordinal))
                return line[3..].Trim().ToString();
        }

        return null;
    }

    private static string? Parent(string path)
    {
        if (path.Length <= 1)
            return null;
        int slash = path.LastIndexOf('/');
        return slash <= 0 ? "/" : path[..slash];
    }

    private static string ReadText(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A host without cgroup v2, or a container that hides it: that bound does not exist here.
            return "";
        }
    }
}
