// SPDX-License-Identifier: Apache-2.0

using System.Text.RegularExpressions;

namespace Mooncake.Mesh.House;

/// <summary>What every source file keeps to.</summary>
public sealed partial class SourceTests
{
    private const string Licence = "// SPDX-License-Identifier: Apache-2.0";
    private const string DataPath = "// On the data path.";
    private const int MaxFileLines = 400;
    private const int MaxMethodLines = 60;
    private const int MaxLineLength = 120;

    /// <summary>Files of src/Mesh that run for every put or get: they must open with the data-path line.</summary>
    private static readonly string[] DataPathFiles = ["Membership/SlotTable.cs"];

    [Fact]
    public void Every_file_opens_with_the_licence() =>
        None(file => Repository.Lines(file) is [Licence, ..] ? [] : [$"{file}:1"]);

    [Fact]
    public void No_file_is_longer_than_one_idea() =>
        None(file => Repository.Lines(file).Length is var lines && lines <= MaxFileLines ? [] : [$"{file}: {lines}"]);

    [Fact]
    public void No_line_is_too_long() =>
        None(file => Places(file, (line, _) => line.Length > MaxLineLength));

    [Fact]
    public void No_method_is_too_long() => None(LongMethods);

    [Fact]
    public void No_regions() =>
        None(file => Places(file, (line, _) => line.TrimStart().StartsWith("#" + "region", StringComparison.Ordinal)));

    [Fact]
    public void No_failure_is_swallowed() =>
        None(file => EmptyCatch().IsMatch(Repository.Read(file)) ? [file] : []);

    [Fact]
    public void Partial_is_for_generators() =>
        None(file => Places(file, (line, lines) => Partial().IsMatch(line) && !IsGenerated(lines)));

    [Fact]
    public void Listed_files_open_with_the_data_path_line() =>
        Assert.All(DataPathFiles, file => Assert.True(IsOnDataPath($"src/Mesh/{file}"), file));

    [Fact]
    public void Files_on_the_data_path_use_no_linq_and_log_no_information() =>
        None(file => IsOnDataPath(file) ? Places(file, (line, _) => Slow().IsMatch(line)) : []);

    /// <summary>Of exactly -1 ms every wait would make: for ever.</summary>
    [Fact]
    public void What_is_left_of_a_limit_is_asked_of_the_clock() =>
        None(file => file.StartsWith("src/", StringComparison.Ordinal) && file != "src/Mesh/TimeLeft.cs"
            ? Places(file, (line, _) => Difference().IsMatch(line)) : []);

    private static void None(Func<string, IEnumerable<string>> broken)
    {
        string[] places = [.. Repository.SourceFiles.SelectMany(broken)];
        Assert.True(places.Length == 0, string.Join('\n', places));
    }

    private static IEnumerable<string> Places(string file, Func<string, string[], bool> broken)
    {
        string[] lines = Repository.Lines(file);
        return lines.Index().Where(line => broken(line.Item, lines)).Select(line => $"{file}:{line.Index + 1}");
    }

    private static bool IsOnDataPath(string file) =>
        Repository.Lines(file).Take(3).Any(line => line.StartsWith(DataPath, StringComparison.Ordinal));

    private static bool IsGenerated(string[] lines) =>
        lines.Any(line => line.Contains("[GeneratedRegex", StringComparison.Ordinal)
            || line.Contains("JsonSerializerContext", StringComparison.Ordinal)
            || line.Contains("[LoggerMessage", StringComparison.Ordinal)
            || line.Contains("[LibraryImport", StringComparison.Ordinal));

    private static IEnumerable<string> LongMethods(string file)
    {
        string[] lines = Repository.Lines(file);
        for (int i = 1; i < lines.Length; i++)
        {
            if (lines[i].Trim() != "{" || lines[i].Length is not (5 or 9) || TypeHeader().IsMatch(Header(lines, i)))
                continue;
            int end = Array.FindIndex(lines, i, line => line.TrimEnd(')', ';', ',') == lines[i].Replace('{', '}'));
            if (end - i - 1 > MaxMethodLines)
                yield return $"{file}:{i}: {end - i - 1} lines";
        }
    }

    private static string Header(string[] lines, int brace)
    {
        int first = brace;
        while (first > 0 && lines[first - 1].Trim() is not ("" or "{" or "}"))
            first--;
        return string.Join(' ', lines[first..brace].Where(line => !line.TrimStart().StartsWith('/')));
    }

    [GeneratedRegex(@"catch\s*(\([^)]*\))?\s*(when\s*\([^{}]*\))?\s*\{\s*\}")]
    private static partial Regex EmptyCatch();

    [GeneratedRegex(@"^\s*([a-z]+\s+)*partial\s+(class|struct|record)")]
    private static partial Regex Partial();

    [GeneratedRegex(@"\b(class|struct|record|interface|enum)\s+\w")]
    private static partial Regex TypeHeader();

    [GeneratedRegex(@"- [\w.]*GetElapsedTime\(")]
    private static partial Regex Difference();

    [GeneratedRegex(@"\.(Select|Where|SelectMany|OrderBy|GroupBy|ToList|ToDictionary)\(|LogInformation\(")]
    private static partial Regex Slow();
}
