// SPDX-License-Identifier: Apache-2.0

using System.Text;

namespace Mooncake.Mesh.Tests;

/// <summary>What a secret file may hold and who may read it; no fault shows what is in it.</summary>
[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class ClusterSecretTests
{
    private const string Text = "correct horse battery staple";

    [Theory]
    [InlineData(Text, 1)]
    [InlineData("  " + Text + "\r\n\n", 1)]
    [InlineData(Text + "\nanother secret of the mesh\n", 2)]
    [InlineData("sixteen bytes...", 1)]
    public void One_or_two_lines_are_secrets(string text, int count) =>
        Assert.Equal($"{count} secret(s)", Parse(text).Value.ToString());

    [Theory]
    [InlineData("", "no secret in it; write one line of 16 to 4096 bytes")]
    [InlineData("\n \n", "no secret in it; write one line of 16 to 4096 bytes")]
    [InlineData("fifteen bytes..", "line 1 is of 15 bytes; 16 to 4096 are legal")]
    [InlineData(Text + "\n\nfifteen bytes..", "line 3 is of 15 bytes; 16 to 4096 are legal")]
    [InlineData(Text + "\n" + Text + "\n" + Text, "line 3 is one more secret; at most 2 are valid at a time")]
    public void Anything_else_is_refused_by_its_line(string text, string message)
    {
        var error = Parse(text).Error!;
        Assert.Equal((MeshErrorCode.InvalidArgument, "config:secretFile", message),
            (error.Code, error.Stage, error.Message));
    }

    [Fact]
    public void The_longest_secret_is_legal_and_one_byte_more_is_not()
    {
        Assert.True(Parse(new string('s', ClusterSecret.MaxBytes)).Succeeded);
        string error = Parse(new string('s', ClusterSecret.MaxBytes + 1)).Error!.Message;
        Assert.Equal("line 1 is of 4097 bytes; 16 to 4096 are legal", error);
        Assert.StartsWith("over 16384 bytes", Parse(new string('\n', (4 * ClusterSecret.MaxBytes) + 1)).Error!.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_others_may_use_is_refused_with_the_command_that_helps()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, Text);
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
            Assert.True(ClusterSecret.FromFile(file).Succeeded);
            foreach (var wider in new[] { UnixFileMode.OtherRead, UnixFileMode.GroupWrite, UnixFileMode.OtherWrite })
            {
                File.SetUnixFileMode(file, UnixFileMode.UserRead | wider);
                string error = ClusterSecret.FromFile(file).Error!.Message;
                Assert.Contains($"chmod 640 '{file}'", error, StringComparison.Ordinal);
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void A_file_that_is_not_there_is_named()
    {
        var error = ClusterSecret.FromFile("/nowhere/secret").Error!;
        Assert.Equal("config:secretFile", error.Stage);
        Assert.Contains("/nowhere/secret", error.Message, StringComparison.Ordinal);
        Assert.Contains(Path.GetTempPath(), ClusterSecret.FromFile(Path.GetTempPath()).Error!.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Options_with_a_secret_do_not_show_it()
    {
        var options = new MeshNodeOptions { NodeId = "n", Secret = Parse(Text).Value };
        Assert.DoesNotContain("horse", options.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void With_a_secret_any_address_may_be_listened_on()
    {
        var open = new MeshNodeOptions { NodeId = "n", Listen = "10.0.0.1:7300" };
        Assert.Contains("secretFile", Assert.Single(open.Validate()).Message, StringComparison.Ordinal);
        Assert.Empty((open with { Secret = Parse(Text).Value }).Validate());
    }

    private static MeshResult<ClusterSecret> Parse(string text) => ClusterSecret.Parse(Encoding.UTF8.GetBytes(text));
}
