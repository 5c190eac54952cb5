// SPDX-License-Identifier: Apache-2.0

using System.Text.RegularExpressions;

namespace Mooncake.Mesh.House;

/// <summary>Which room may know which: data goes one way, and so do references.</summary>
public sealed partial class RoomTests
{
    /// <summary>Room of src/Mesh, and the rooms it must not name.</summary>
    private static readonly (string Room, string[] Unknown)[] Rooms =
    [
        ("Membership", ["Directory", "Segments", "Transfer", "Flow"]),
        ("Control", ["Directory", "Segments", "Transfer", "Flow"]),
        ("Devices", ["Membership", "Control", "Segments", "Directory", "Transfer", "Flow"]),
        ("Segments", ["Directory", "Transfer", "Flow"]),
        ("Directory", ["Flow"]),
        ("Transfer", ["Flow"]),
        ("", ["Verbs", "Cuda", "Client", "Node"]),
    ];

    /// <summary>Project, and the only projects of ours it may reference.</summary>
    private static readonly Dictionary<string, string[]> Projects = new()
    {
        ["Mesh"] = [],
        ["Verbs"] = ["Mesh"],
        ["Cuda"] = ["Mesh"],
        ["Client"] = ["Mesh", "Verbs", "Cuda"],
        ["Node"] = ["Mesh", "Verbs", "Cuda", "Client"],
    };

    /// <summary>Projects inside another's folder: a face of it, that references it alone.</summary>
    private static readonly Dictionary<string, string> Faces = new()
    {
        ["src/Client/Exports/Mooncake.Mesh.Exports.csproj"] = "../Mooncake.Mesh.Client.csproj",
    };

    [Fact]
    public void Rooms_know_only_the_rooms_before_them() =>
        Assert.Empty(
            from room in Rooms
            from file in Repository.SourceFiles
            where file.StartsWith($"src/Mesh/{room.Room}", StringComparison.Ordinal)
            from unknown in room.Unknown
            where Names(Repository.Read(file), unknown)
            select $"{file} names Mooncake.Mesh.{unknown}");

    [Fact]
    public void Projects_reference_only_what_is_below_them()
    {
        foreach ((string project, string[] allowed) in Projects)
        {
            string file = Repository.Files.Single(file => file.StartsWith($"src/{project}/", StringComparison.Ordinal)
                && file.EndsWith(".csproj", StringComparison.Ordinal) && !Faces.ContainsKey(file));
            var referenced = ProjectReference().Matches(Repository.Read(file)).Select(match => match.Groups[1].Value);
            Assert.Empty(referenced.Except(allowed));
        }
    }

    [Fact]
    public void A_face_references_only_what_it_is_the_face_of() =>
        Assert.All(Faces, face => Assert.Equal([face.Value],
            AnyReference().Matches(Repository.Read(face.Key)).Select(match => match.Groups[1].Value)));

    [Fact]
    public void Every_project_of_src_has_its_place_here() =>
        Assert.Empty(Repository.Files
            .Where(file => file.StartsWith("src/", StringComparison.Ordinal))
            .Where(file => file.EndsWith(".csproj", StringComparison.Ordinal))
            .Select(file => file.Split('/')[1])
            .Except(Projects.Keys));

    [Theory]
    [InlineData("using Mooncake.Mesh.Flow;", true)]
    [InlineData("global::Mooncake.Mesh.Flow.PutOperation x;", true)]
    [InlineData("    Flow.PutOperation operation;", true)]
    [InlineData("    new Flow.PutOperation()", true)]
    [InlineData("// Flow. Then something else", false)]
    [InlineData("using Mooncake.Mesh.Control;", false)]
    [InlineData("    channel.Flow.Stop();", false)]
    public void A_name_of_a_room_is_seen(string code, bool named) => Assert.Equal(named, Names(code, "Flow"));

    private static bool Names(string text, string room)
    {
        string code = Comment().Replace(text, "");
        if (Regex.IsMatch(code, $@"Mooncake\.Mesh\.{room}\b"))
            return true;
        // A project cannot be named without its reference, and its name may be a property's: "Client.Dispose()".
        if (Projects.ContainsKey(room))
            return false;
        // System.IO has a Directory too: there, only what looks like a type of the room counts.
        string member = room == "Directory" ? "(Directory|Owner|Record|Slot)[A-Za-z]" : "[A-Z]";
        return Regex.IsMatch(code, $@"(?<![\w.""/]){room}\.{member}");
    }

    [GeneratedRegex(@"//[^\n]*")]
    private static partial Regex Comment();

    [GeneratedRegex(@"<ProjectReference Include=""\.\./(\w+)/")]
    private static partial Regex ProjectReference();

    [GeneratedRegex(@"<ProjectReference Include=""([^""]+)""")]
    private static partial Regex AnyReference();
}
