// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Transfer.Topology;

namespace Mooncake.Mesh.Tests.Transfer.Rails;

public sealed class RailPreferencesTests
{
    private static readonly RailPort[] Ports = [new("mlx5_0", 1), new("mlx5_1", 1), new("mlx5_2", 1)];
    private static readonly NicDevice[] Nics = [.. Ports.Select(port => new NicDevice(port.Device, 0, PciPath.None))];

    [Fact]
    public void The_nearest_come_first_and_the_rest_after()
    {
        var preferences = Of("""{"cpu:0":[["mlx5_0"],["mlx5_1"]],"cpu:1":[["mlx5_2","mlx5_1"],["mlx5_0"]]}""");
        Assert.False(preferences.IsUniform);
        // The third is in no list of the first row: it serves when nothing else does.
        AssertChoice([0], [1, 2], preferences, preferences.NumberOf("cpu:0"));
        AssertChoice([1, 2], [0], preferences, preferences.NumberOf("cpu:1"));
        AssertChoice([0, 1, 2], [], preferences, RailPreferences.Anywhere);
        Assert.Equal(RailPreferences.Anywhere, preferences.NumberOf("cpu:2"));
    }

    [Fact]
    public void Of_rails_that_cannot_be_used_at_present_there_is_none()
    {
        var preferences = Of("""{"cpu:0":[["mlx5_0","mlx5_1"],["mlx5_2"]]}""");
        var choice = preferences.ChoiceOf(preferences.NumberOf("cpu:0"), [1, 2]);
        Assert.Equal([1], choice.Preferred);
        Assert.Equal([2], choice.Others);
        Assert.Empty(preferences.ChoiceOf(RailPreferences.Anywhere, []).Preferred);
    }

    [Theory]
    [InlineData("""{"cpu:0":[["mlx5_0","mlx5_1","mlx5_2"],[]]}""", true)]
    [InlineData("""{"cpu:0":[["mlx5_0","mlx5_1"],["mlx5_2"]]}""", false)]
    [InlineData("""{"cpu:0":[[],[]]}""", false)]
    public void It_is_uniform_where_every_row_prefers_every_rail(string topology, bool uniform) =>
        Assert.Equal(uniform, Of(topology).IsUniform);

    private static RailPreferences Of(string topology) => new(TopologyParser.Parse(topology, Nics).Value, Ports);

    private static void AssertChoice(int[] preferred, int[] others, RailPreferences preferences, int location)
    {
        var choice = preferences.ChoiceOf(location, [0, 1, 2]);
        Assert.Equal(preferred, choice.Preferred);
        Assert.Equal(others, choice.Others);
    }
}
