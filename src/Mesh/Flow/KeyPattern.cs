// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// A regular expression over keys, safe to run for a stranger: without backtracking, so in time linear in the key, and
/// bounded in length and in counted repetition. Keys are matched as UTF-8; bytes that are none show as U+FFFD.
/// </summary>
internal sealed class KeyPattern
{
    /// <summary>Longest pattern, in bytes of UTF-8.</summary>
    public const int MaxBytes = 1024;

    /// <summary>Largest automaton: the pattern's length times the product of its counted repetitions.</summary>
    public const long MaxStates = 100_000;

    private readonly Regex _regex;

    private KeyPattern(string text, Regex regex)
    {
        Text = text;
        _regex = regex;
    }

    /// <summary>The pattern as it was written.</summary>
    public string Text { get; }

    /// <summary>A pattern, or why it is none; the error names it.</summary>
    public static MeshResult<KeyPattern> Parse(string text)
    {
        if (text.Length == 0)
            return Wrong(text, "is empty; '.*' matches every key");
        int bytes = Encoding.UTF8.GetByteCount(text);
        if (bytes > MaxBytes)
            return Wrong(text[..64] + "...", $"has {bytes} bytes; the limit is {MaxBytes} bytes");
        if (StatesOf(text) > MaxStates)
            return Wrong(text, $"repeats too often; length times counted repetitions may be {MaxStates}");
        try
        {
            return new KeyPattern(text, new Regex(text, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant));
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            return Wrong(text, $"is no regular expression that runs without backtracking: {e.Message}");
        }
    }

    /// <summary>Whether the pattern is found anywhere in the key.</summary>
    public bool IsMatch(in MeshKey key)
    {
        Span<char> small = stackalloc char[256];
        var chars = key.Bytes.Length <= small.Length ? small : new char[key.Bytes.Length];
        return _regex.IsMatch(chars[..Encoding.UTF8.GetChars(key.Bytes, chars)]);
    }

    /// <summary>Counted repetition unrolls: {m,n} makes n copies, and nested ones multiply.</summary>
    private static double StatesOf(string text)
    {
        double states = text.Length;
        for (int open = text.IndexOf('{'); open >= 0; open = text.IndexOf('{', open + 1))
        {
            int close = text.IndexOf('}', open);
            if (close < 0)
                break;
            string last = text[(open + 1)..close].TrimEnd(',');
            last = last[(last.LastIndexOf(',') + 1)..];
            if (int.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out int times))
                states *= Math.Max(1, times);
            else if (last.Length > 0 && last.AsSpan().IndexOfAnyExceptInRange('0', '9') < 0)
                return double.MaxValue;
        }

        return states;
    }

    private static MeshError Wrong(string text, string why) =>
        new(MeshErrorCode.InvalidArgument, "pattern", $"pattern '{text}' {why}");
}
