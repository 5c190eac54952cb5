// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Node.Logging;

/// <summary>The names of the log levels, as settings and lines spell them.</summary>
internal static class LineLevel
{
    private static readonly string[] Names = ["trace", "debug", "info", "warn", "error", "critical"];

    /// <summary>The name of <paramref name="level"/>.</summary>
    internal static string Name(LogLevel level) => level is >= LogLevel.Trace and <= LogLevel.Critical
        ? Names[(int)level]
        : "none";

    /// <summary>The level of that name.</summary>
    internal static bool TryParse(string name, out LogLevel level)
    {
        int index = Array.IndexOf(Names, name.ToLowerInvariant());
        level = (LogLevel)Math.Max(0, index);
        return index >= 0;
    }
}
