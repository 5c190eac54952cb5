// SPDX-License-Identifier: Apache-2.0

using System.Text.RegularExpressions;

namespace Mooncake.Mesh.House;

/// <summary>The architecture page names only types that exist.</summary>
public sealed partial class ArchitectureTests
{
    private const string Begin = "<!-- types: checked -->";
    private const string End = "<!-- types: end -->";

    [Fact]
    public void Types_named_in_the_marked_section_exist()
    {
        string page = Repository.Read("ARCHITECTURE.md");
        int begin = page.IndexOf(Begin, StringComparison.Ordinal);
        int end = page.IndexOf(End, StringComparison.Ordinal);
        Assert.True(begin >= 0 && end > begin, $"ARCHITECTURE.md has no section between '{Begin}' and '{End}'");

        HashSet<string> declared = [.. Repository.SourceFiles
            .Where(file => file.StartsWith("src/", StringComparison.Ordinal))
            .SelectMany(file => Declaration().Matches(Repository.Read(file))).Select(match => match.Groups[1].Value)];
        string[] named = [.. Named().Matches(page[begin..end]).Select(match => match.Groups[1].Value).Distinct()];

        Assert.NotEmpty(named);
        Assert.All(named, name => Assert.Contains(name, declared));
    }

    [Fact]
    public void Files_and_folders_named_as_links_exist() =>
        Assert.Empty(
            from page in Repository.Files
            where page.EndsWith(".md", StringComparison.Ordinal)
            from Match link in Link().Matches(Repository.Read(page))
            let target = Path.Combine(Repository.Root, Path.GetDirectoryName(page)!, link.Groups[1].Value)
            where !Path.Exists(target)
            select $"{page}: {link.Groups[1].Value}");

    [GeneratedRegex(@"\b(?:class|record|struct|interface|enum)\s+(?:struct\s+|class\s+)?([A-Z]\w*)")]
    private static partial Regex Declaration();

    [GeneratedRegex(@"`(I?[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+)`")]
    private static partial Regex Named();

    [GeneratedRegex(@"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")]
    private static partial Regex Link();
}
