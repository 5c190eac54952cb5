// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Flow;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Regular expressions over keys: what they match, and what is refused before it can cost anything.</summary>
public sealed class KeyPatternTests
{
    [Theory]
    [InlineData("^kv/", "kv/1", true)]
    [InlineData("^kv/", "a/kv/1", false)]
    [InlineData("kv/[0-9]+$", "a/kv/12", true)]
    [InlineData(".", "", false)]
    [InlineData("^.$", "\u00e9", true)]
    [InlineData("(a|b){2,3}c", "abac", true)]
    public void A_pattern_is_found_anywhere_in_the_text_of_a_key(string pattern, string key, bool matches) =>
        Assert.Equal(matches, KeyPattern.Parse(pattern).Value.IsMatch(new MeshKey(key)));

    [Fact]
    public void Bytes_that_are_no_text_show_as_the_replacement_character_and_long_keys_fit()
    {
        Assert.True(KeyPattern.Parse("^a\ufffdb$").Value.IsMatch(new MeshKey([65 + 32, 0xff, 66 + 32])));
        var longest = new MeshKey(Encoding.UTF8.GetBytes(new string('a', MeshKey.MaxLength - 1) + "b"));
        Assert.True(KeyPattern.Parse("^a*b$").Value.IsMatch(longest));
    }

    [Theory]
    [InlineData("")]
    [InlineData("(")]
    [InlineData(@"(a)\1")]
    [InlineData("(?=a)b")]
    [InlineData("((a{300}){300}){300}")]
    [InlineData("a{99999999999}")]
    [InlineData("(a{1000,}){1000}")]
    public void What_could_cost_too_much_or_means_nothing_is_refused_by_name(string pattern)
    {
        MeshError error = KeyPattern.Parse(pattern).Error!;
        Assert.Equal((MeshErrorCode.InvalidArgument, "pattern"), (error.Code, error.Stage));
        Assert.Contains($"'{pattern}'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pattern_has_a_longest_length()
    {
        Assert.True(KeyPattern.Parse(new string('a', KeyPattern.MaxBytes)).Succeeded);
        MeshError error = KeyPattern.Parse(new string('a', KeyPattern.MaxBytes + 1)).Error!;
        Assert.Contains("1025 bytes; the limit is 1024", error.Message, StringComparison.Ordinal);
    }
}
