// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.House;

/// <summary>What lies where, and what no tracked file may say.</summary>
public sealed class LayoutTests(ITestOutputHelper output)
{
    private const int ManyFiles = 14;

    /// <summary>Everything that may lie at the top, and why it must be there and not in a folder.</summary>
    private static readonly Dictionary<string, string> Allowed = new()
    {
        ["src"] = "the product",
        ["tests"] = "its tests",
        ["packaging"] = "what an installed copy gets: units, configuration, demo trace",
        ["docs"] = "reference pages for operators",
        ["Mooncake.Mesh.sln"] = "opens everything",
        ["Directory.Build.props"] = "MSBuild looks for it upward",
        ["Directory.Packages.props"] = "MSBuild looks for it upward",
        ["global.json"] = "the dotnet command looks for it upward",
        [".editorconfig"] = "the compiler looks for it upward",
        [".gitignore"] = "git reads it here",
        [".gitattributes"] = "git reads it here",
        [".ci"] = "the build service starts .ci/run",
        ["nfpm.yaml"] = "the packager reads it here",
        ["README.md"] = "the first page",
        ["ARCHITECTURE.md"] = "the second page",
        ["CHANGELOG.md"] = "what changed",
        ["CONTRIBUTING.md"] = "hosting sites link it from here",
        ["SECURITY.md"] = "hosting sites link it from here",
        ["LICENSE"] = "licence scanners read it here",
        ["demo.sh"] = "the first command of the first page",
        ["test.sh"] = "the second command of the first page",
    };

    [Fact]
    public void No_merge_was_left_half_done() =>
        Assert.All(Repository.Files, file => Assert.DoesNotContain(Repository.Lines(file),
            line => line.StartsWith(new string('<', 7) + " ", StringComparison.Ordinal)
                || line.StartsWith(new string('>', 7) + " ", StringComparison.Ordinal)));

    [Fact]
    public void Nothing_else_lies_at_the_top() =>
        Assert.All(Repository.Files.Select(file => file.Split('/')[0]).Distinct(),
            entry => Assert.Contains(entry, Allowed));

    [Theory]
    [InlineData("README.md")]
    [InlineData("ARCHITECTURE.md")]
    [InlineData("CHANGELOG.md")]
    [InlineData("CONTRIBUTING.md")]
    [InlineData("SECURITY.md")]
    [InlineData("LICENSE")]
    [InlineData("demo.sh")]
    [InlineData("test.sh")]
    public void A_page_that_a_reader_expects_exists(string page) => Assert.Contains(page, Repository.Files);

    [Fact]
    public void No_file_points_outside_the_repository()
    {
        // Put together, so that this file does not find itself.
        string[] banned = ["../" + "shared", "/" + "work/"];
        Assert.Empty(
            from file in Repository.Files
            let text = Repository.Read(file)
            from word in banned
            where text.Contains(word, StringComparison.Ordinal)
            select $"{file}: {word}");
    }

    [Fact]
    public void Full_folders_are_reported()
    {
        foreach (var folder in Repository.SourceFiles.GroupBy(file => Path.GetDirectoryName(file)))
        {
            if (folder.Count() > ManyFiles)
                output.WriteLine($"{folder.Key}: {folder.Count()} source files, over {ManyFiles}: two rooms?");
        }
    }

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        string solution = Repository.Read("Mooncake.Mesh.sln").Replace('\\', '/');
        Assert.All(Repository.Files.Where(file => file.EndsWith(".csproj", StringComparison.Ordinal)),
            project => Assert.Contains(project, solution));
    }
}
