// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>Sizes and durations as people write them.</summary>
internal static class Quantity
{
    private static readonly (string Unit, long Factor)[] Sizes =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("", 1),
    ];

    private static readonly (string Unit, double Milliseconds)[] Durations =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

    /// <summary>Parses "64MiB", "1.5GiB" or plain bytes.</summary>
    /// <exception cref="FormatException">One clause that quotes the text and shows examples.</exception>
    internal static long Size(string text)
    {
        string trimmed = text.Trim();
        foreach ((string unit, long factor) in Sizes)
        {
            if (!trimmed.EndsWith(unit, StringComparison.OrdinalIgnoreCase))
                continue;
            string digits = trimmed[..^unit.Length].TrimEnd();
            if (!decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal n))
                break;
            if (n > long.MaxValue / factor || decimal.Truncate(n * factor) != n * factor)
                break;
            return (long)(n * factor);
        }

        throw new FormatException($"'{text}' is no size; write 64MiB, 1GiB or plain bytes");
    }

    /// <summary>Parses "5s", "500ms", "2m" or "1h".</summary>
    /// <exception cref="FormatException">One clause that quotes the text and shows examples.</exception>
    internal static TimeSpan Duration(string text)
    {
        string trimmed = text.Trim();
        foreach ((string unit, double milliseconds) in Durations)
        {
            if (!trimmed.EndsWith(unit, StringComparison.Ordinal))
                continue;
            string digits = trimmed[..^unit.Length].TrimEnd();
            if (double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double n)
                && n * milliseconds < TimeSpan.MaxValue.TotalMilliseconds / 2)
                return TimeSpan.FromMilliseconds(n * milliseconds);
        }

        throw new FormatException($"'{text}' is no duration; write 5s, 500ms, 2m or 1h");
    }

    /// <summary>A size in the largest unit that keeps it short: "24 GiB".</summary>
    internal static string Text(long bytes)
    {
        double value = bytes;
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        int unit = 0;
        for (; value >= 1024 && unit < units.Length - 1; unit++)
            value /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{value:0.#} {units[unit]}");
    }
}
