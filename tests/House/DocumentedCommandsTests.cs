// SPDX-License-Identifier: Apache-2.0

using System.Text.RegularExpressions;

namespace Mooncake.Mesh.House;

/// <summary>Every command that a page shows is run by a test, or the table says why not.</summary>
public sealed partial class DocumentedCommandsTests
{
    private const string Table = "tests/Packaging/documented.tsv";

    private static readonly string[] Executed = ["vm", "serve", "dev"];

    private static string[][] Rows { get; } =
    [
        .. Repository.Lines(Table).Where(line => !line.StartsWith('#')).Select(line => line.Split('\t', 3)),
    ];

    private static string[] Shown { get; } =
    [
        .. Repository.Files
            .Where(file => file == "README.md" || file.StartsWith("docs/", StringComparison.Ordinal))
            .Where(file => file.EndsWith(".md", StringComparison.Ordinal))
            .SelectMany(Repository.Lines).Select(line => Command().Match(line)).Where(match => match.Success)
            .Select(match => Remark().Replace(match.Groups[1].Value, "")).Distinct(),
    ];

    [Fact]
    public void Every_command_of_a_page_is_in_the_table() =>
        Assert.Empty(Shown.Except(Rows.Select(row => row[2])));

    [Fact]
    public void Every_command_of_the_table_is_on_a_page() =>
        Assert.Empty(Rows.Where(row => row[0] != "do").Select(row => row[2]).Except(Shown));

    [Fact]
    public void Every_row_is_run_or_says_who_runs_it_or_why_nobody_does() =>
        Assert.All(Rows, row =>
        {
            switch (row[0])
            {
                case "test":
                    Assert.Contains(row[1], Repository.Files);
                    break;
                case "no":
                    Assert.True(row[1].Length > 20, row[2]);
                    break;
                case "vm":
                    Assert.Matches(@"^\d(,\d)*$", row[1]);
                    break;
                default:
                    Assert.Contains(row[0], Executed.Append("do"));
                    break;
            }
        });

    [Fact]
    public void Most_are_run_as_they_stand() =>
        Assert.True(Rows.Count(row => Executed.Contains(row[0])) > Rows.Count(row => row[0] is "no" or "test") * 2);

    /// <summary>A line of a block that begins as a command does.</summary>
    [GeneratedRegex(@"^ {4,}((?:sudo|sudoedit|mooncake-mesh|apt|systemctl|journalctl|openssl|cc|pip|dotnet|etcd"
        + @"|etcdctl|curl|kubectl|podman|head|ss|export) .*|\./\S+.*|\(umask .*|[A-Z_]+=\S+ .*"
        + @"|(?:packaging|tests)/\S+\.\w+ .*)$")]
    private static partial Regex Command();

    [GeneratedRegex(@"\s{2,}# .*$")]
    private static partial Regex Remark();
}
